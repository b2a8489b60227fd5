"""What the journal keeps of a response: a line of JSON with its checksum, or a row of Parquet for each sample.

The names and the order of the fields are the format on disk: journals of paid answers were written with them.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import pyarrow as pa

from raydistill.tables import Row

ENTRIES = pa.schema(
    [
        ("key", pa.binary(32)),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),  # of the response, on its first sample; 0 on the others
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),  # the response's, divided evenly; the first sample has the remainder
        ("usd", pa.float64()),  # of the response, on its first sample; null: no known price
        ("attempts", pa.int32()),  # requests sent for the response, on its first sample
        ("response", pa.binary(32)),  # key of the response's first sample
        ("session", pa.string()),  # the stage run that bought it
        ("run", pa.string()),  # the run directory that bought it
        ("stage", pa.string()),
        ("task", pa.string()),
        ("kind", pa.string()),  # rationale | answer
        ("model", pa.string()),
        ("time", pa.float64()),
        ("request", pa.string()),  # canonical JSON, on the first sample
    ]
)


_LABELS = ("run", "stage", "task", "kind", "time")  # columns that an entry and its rows have alike


class Entry(TypedDict):
    """A response as its journal line holds it."""

    keys: list[str]
    texts: list[str]
    finish: list[str]
    usage: list[int]  # prompt, cached and completion tokens
    usd: float | None
    attempts: int
    time: float
    run: str
    session: str
    stage: str
    task: str
    kind: str
    estimated: NotRequired[bool]  # the response carried no usage
    request: dict[str, Any]


class Answer(NamedTuple):
    """One sample as the journal holds it; columns as in ENTRIES, keys in hexadecimal."""

    key: str
    text: str
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    usd: float | None
    attempts: int
    response: str
    session: str
    model: str


def record(
    keys: list[str],
    texts: list[str],
    finish_reasons: list[str],
    usage: tuple[int, int, int],
    usd: float | None,
    attempts: int,
    request: dict[str, Any],
    **labels: Any,
) -> Entry:
    """Return a response as its journal line.

    Args:
        keys: journal keys of its samples, hexadecimal.
        texts: their completions.
        finish_reasons: why each of them ended.
        usage: prompt, cached and completion tokens of the response.
        usd: its cost; None if the model has no known price.
        attempts: requests sent for it.
        request: `Request.canonical()`.
        labels: `run`, `session`, `stage`, `task`, `kind`, and `estimated` if that is known.
    """
    fields = {
        "keys": keys,
        "texts": texts,
        "finish": finish_reasons,
        "usage": list(usage),
        "usd": usd,
        "attempts": attempts,
        "time": time.time(),
        **labels,
        "request": request,
    }
    return cast(Entry, fields)


def encode(entry: Entry) -> bytes:
    """Return the line of an entry: its checksum, a space, its JSON, a newline."""
    body = json.dumps(entry, separators=(",", ":"), ensure_ascii=True).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Entry | None:
    """Return the entry of a line; None if the line is torn or damaged."""
    if not line.endswith(b"\n") or len(line) < 11:
        return None
    body = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(body):
            return None
        return json.loads(body)
    except ValueError:
        return None


def sample_of(entry: Entry, key: str) -> Answer:
    """Return sample `key` of a response.

    The first sample carries what the response has once (prompt tokens, dollars, attempts), so that sums over samples
    are sums over responses.
    """
    index = entry["keys"].index(key)
    count = len(entry["keys"])
    prompt, cached, completion = entry["usage"]
    is_first = index == 0
    usd = entry["usd"]
    if usd is not None and not is_first:
        usd = 0.0
    return Answer(
        key=key,
        text=entry["texts"][index],
        finish_reason=entry["finish"][index],
        prompt_tokens=prompt if is_first else 0,
        cached_tokens=cached if is_first else 0,
        completion_tokens=completion // count + (completion % count if is_first else 0),
        usd=usd,
        attempts=entry["attempts"] if is_first else 0,
        response=entry["keys"][0],
        session=entry["session"],
        model=entry["request"]["model"],
    )


def rows(entry: Entry) -> Iterator[Row]:
    """Yield a response's samples as rows of ENTRIES."""
    labels = {name: entry[name] for name in _LABELS}  # type: ignore[literal-required]
    request = json.dumps(entry["request"], ensure_ascii=False)
    for key in entry["keys"]:
        answer = sample_of(entry, key)
        row: Row = answer._asdict() | labels
        row["key"] = bytes.fromhex(key)
        row["response"] = bytes.fromhex(answer.response)
        row["request"] = request if key == answer.response else ""
        yield row

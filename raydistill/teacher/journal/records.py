"""What the journal keeps of a response: a line of JSON with its checksum, or a row of Parquet for each sample."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

ENTRIES = pa.schema(
    [
        ("key", pa.binary(32)),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),  # of the response, on its first sample; 0 on the others
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),  # the response's, shared out evenly
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


class Answer(NamedTuple):
    """One sample as the journal holds it; columns as in ENTRIES, keys in hex."""

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
    **about: Any,
) -> dict[str, Any]:
    """A response as its journal line; `about` holds session, run, stage, task, kind."""
    return {
        "keys": keys,
        "texts": texts,
        "finish": finish_reasons,
        "usage": list(usage),
        "usd": usd,
        "attempts": attempts,
        "time": time.time(),
        **about,
        "request": request,
    }


def encode(entry: dict[str, Any]) -> bytes:
    body = json.dumps(entry, separators=(",", ":"), ensure_ascii=True).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where a kill tore it."""
    if not line.endswith(b"\n") or len(line) < 11:
        return None
    body = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(body):
            return None
        return json.loads(body)
    except ValueError:
        return None


def sample_of(entry: dict[str, Any], key: str) -> Answer:
    """Sample `key` of a response."""
    i, n = entry["keys"].index(key), len(entry["keys"])
    prompt, cached, completion = entry["usage"]
    return Answer(
        key,
        entry["texts"][i],
        entry["finish"][i],
        0 if i else prompt,
        0 if i else cached,
        completion // n + (completion % n if i == 0 else 0),
        entry["usd"] if i == 0 or entry["usd"] is None else 0.0,
        0 if i else entry["attempts"],
        entry["keys"][0],
        entry["session"],
        entry["request"]["model"],
    )


def rows(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A response as rows of ENTRIES."""
    for i, key in enumerate(entry["keys"]):
        row = sample_of(entry, key)._asdict()
        about = {name: entry[name] for name in ("run", "stage", "task", "kind", "time")}
        request = json.dumps(entry["request"], ensure_ascii=False) if i == 0 else ""
        binary = {"key": bytes.fromhex(key), "response": bytes.fromhex(row["response"])}
        yield row | about | binary | {"request": request}

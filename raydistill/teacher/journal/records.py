"""The lines of the journal: replies as they came, and notes about money that brought none.

A line is its checksum, a space and one JSON object. The names of the fields are the format on disk: journals of paid
answers were written with them. Version 1 wrote what it understood of a reply (texts, usage, dollars); version 2 writes
the reply itself, which `readings` reads, so that a better reader gets more out of what was paid for.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, cast

from raydistill.teacher.limits.amount import Amount

Kind = Literal["reply", "open", "lost", "claim"]


class Entry(TypedDict, total=False):
    """A line of the journal. Which fields there are depends on its kind (`kind_of`)."""

    # of a reply, and partly of notes: who bought it, and when
    time: float
    run: str
    session: str
    stage: str
    task: str
    kind: str

    # of a reply
    keys: list[str]
    attempts: int
    request: dict[str, Any]

    # of a reply in version 1
    texts: list[str]
    finish: list[str]
    usage: list[int]
    usd: float | None
    estimated: NotRequired[bool]

    # of a reply in version 2
    status: int
    body: str
    body64: str
    cut: bool
    reserved: list[int]
    price: list[list[float]] | None

    # of notes
    open: list[float]
    lost: list[float]
    key: str
    why: str
    claim: list[str]
    until: float
    writer: str
    n: int


class Buyer(NamedTuple):
    """Who buys: the run, its session of the stage, and the stage."""

    run: str
    session: str
    stage: str


def reply(
    keys: Sequence[str],
    status: int,
    content: bytes,
    request: dict[str, Any],
    buyer: Buyer,
    *,
    attempts: int,
    reserved: tuple[int, int],
    price: list[list[float]] | None,
    task: str,
    kind: str,
    is_cut: bool = False,
) -> Entry:
    """Return the line of a reply.

    Args:
        keys: journal keys (hexadecimal) of the samples that were asked for.
        status: HTTP status.
        content: the body as it came, without the API key.
        request: `Request.canonical()`.
        buyer: who buys.
        attempts: requests sent for it.
        reserved: the most prompt and completion tokens that it may have taken: they count where the reply is silent.
        price: `Price.to_json()`; None if the model has no known price.
        task: name of the task.
        kind: rationale, answer or judgement.
        is_cut: `content` is just the beginning of the body.
    """
    entry: Entry = {"keys": list(keys), "status": status}
    try:
        entry["body"] = content.decode()
    except UnicodeDecodeError:
        entry["body64"] = base64.b64encode(content).decode()
    if is_cut:
        entry["cut"] = True
    entry |= {"attempts": attempts, "reserved": list(reserved), "price": price, "time": time.time()}
    entry |= cast(Entry, buyer._asdict())
    entry |= {"task": task, "kind": kind, "request": request}
    return entry


def open_calls(most: Amount, writer: str, number: int, buyer: Buyer) -> Entry:
    """Return the note that the calls in flight of `writer` may take up to `most`.

    Of the notes of a writer that of the highest number counts.
    """
    return {
        "open": [most.usd, most.tokens],
        "writer": writer,
        "n": number,
        "run": buyer.run,
        "stage": buyer.stage,
        "time": time.time(),
    }


def lost_call(key: str, most: Amount, why: str, buyer: Buyer) -> Entry:
    """Return the note of a call whose outcome is unknown: it may have been paid for; `key` is of its first sample."""
    return {
        "lost": [most.usd, most.tokens],
        "key": key,
        "why": why,
        "run": buyer.run,
        "stage": buyer.stage,
        "time": time.time(),
    }


def claim(keys: Sequence[str], writer: str, until: float, buyer: Buyer) -> Entry:
    """Return the note that `writer` is buying `keys`, at most until then (seconds since 1970)."""
    return {
        "claim": list(keys),
        "writer": writer,
        "until": until,
        "run": buyer.run,
        "session": buyer.session,
        "time": time.time(),
    }


def kind_of(entry: Entry) -> Kind:
    """Return what a line is about."""
    if "keys" in entry:
        return "reply"
    if "open" in entry:
        return "open"
    if "lost" in entry:
        return "lost"
    return "claim"


def keys_of(entry: Entry) -> list[str]:
    """Return the journal keys that a line may answer; [] for a note."""
    return entry.get("keys", [])


def content_of(entry: Entry) -> bytes:
    """Return the body of a reply of version 2."""
    if "body64" in entry:
        return base64.b64decode(entry["body64"])
    return entry["body"].encode()


def encode(entry: Entry) -> bytes:
    """Return a line: its checksum, a space, its JSON, a newline."""
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

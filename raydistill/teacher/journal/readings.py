"""What the lines of the journal hold, as today's dialects read them: texts, usage, dollars, or what is wrong.

A reply that no dialect reads is kept: it was paid for, and a later version may read it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from raydistill.tables import Row
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.usage import Usage, counted, is_possible
from raydistill.teacher.journal.records import Entry, content_of
from raydistill.teacher.limits.price import Price
from raydistill.teacher.limits.tokens import expected_tokens

ENTRIES = pa.schema(
    [
        ("key", pa.binary(32)),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
        ("problem", pa.string()),  # why there is no text: the reply was not understood; "" if it was
        ("prompt_tokens", pa.int64()),  # of the response, on its first sample; 0 on the others
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),  # the response's, divided evenly; the first sample has the remainder
        ("usd", pa.float64()),  # of the response, on its first sample; null: no known price
        ("attempts", pa.int32()),  # requests sent for the response, on its first sample
        ("response", pa.binary(32)),  # key of the response's first sample
        ("response_id", pa.string()),  # the endpoint's own, to reconcile a bill by; "" if it gives none
        ("served_model", pa.string()),  # as the reply names it
        ("system_fingerprint", pa.string()),
        ("session", pa.string()),  # the stage run that bought it
        ("run", pa.string()),  # id of the run that bought it (version 1: its directory)
        ("stage", pa.string()),
        ("task", pa.string()),
        ("kind", pa.string()),  # rationale | answer | judgement
        ("model", pa.string()),  # as it was asked for
        ("time", pa.float64()),
        ("request", pa.string()),  # canonical JSON, on the first sample
    ]
)
"""A journal as a table, a row for each sample (`raydistill inspect --export`)."""

_LABELS = ("run", "session", "stage", "task", "kind", "time")  # columns that a line and its rows have alike


class Answer(NamedTuple):
    """One sample as the journal holds it; keys in hexadecimal. A response's cost stands at its first sample."""

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
    problem: str = ""
    """Why the reply cannot be read; "" if it can."""


class Reading(NamedTuple):
    """A reply as it is understood."""

    entry: Entry
    texts: list[str]
    finish_reasons: list[str]
    usage: Usage
    is_stated: bool
    """The reply says itself what it took."""
    usd: float | None
    error: CallError | None = None
    """Why it holds no completion: kind "unreadable", or what a 2xx reply reports as an error."""
    response_id: str = ""
    served_model: str = ""
    system_fingerprint: str = ""

    @property
    def problem(self) -> str:
        """Why the reply cannot be read; "" if it can."""
        if self.error is not None and self.error.kind == "unreadable":
            return self.error.message
        return ""

    @property
    def keys(self) -> list[str]:
        """Keys of the samples that it holds; all that were asked for if it cannot be read."""
        keys = self.entry["keys"]
        return keys if self.problem else keys[: len(self.texts)]

    def answer(self, key: str) -> Answer | None:
        """Return the sample under `key`; None if the reply holds fewer samples."""
        keys = self.keys
        if key not in keys:
            return None
        index = keys.index(key)
        count = len(keys)
        is_first = index == 0
        completion = self.usage.completion_tokens
        return Answer(
            key=key,
            text="" if self.problem else self.texts[index],
            finish_reason="" if self.problem else self.finish_reasons[index],
            prompt_tokens=self.usage.prompt_tokens if is_first else 0,
            cached_tokens=self.usage.cached_tokens if is_first else 0,
            completion_tokens=completion // count + (completion % count if is_first else 0),
            usd=self.usd if is_first or self.usd is None else 0.0,
            attempts=self.entry["attempts"] if is_first else 0,
            response=keys[0],
            session=self.entry["session"],
            model=self.entry["request"]["model"],
            problem=self.problem,
        )


def read(entry: Entry, price: Price | None = None) -> Reading:
    """Read a line about a reply; `price` is that of purchases that were made without a known one."""
    if "texts" in entry:
        return _read_version_1(entry, price)
    reserved = Usage(entry["reserved"][0], 0, entry["reserved"][1])
    if entry["price"] is not None:
        price = _price(tuple(map(tuple, entry["price"])))
    try:
        if entry.get("cut"):
            raise CallError("unreadable", "the reply is longer than what is kept of it")
        reply = dialects.load(entry["request"]["endpoint"]).read_reply(content_of(entry))
    except CallError as error:
        return Reading(entry, [], [], reserved, False, _usd(reserved, price), error)
    usage = counted(reply.usage, reserved)
    return Reading(
        entry,
        reply.texts,
        reply.finish_reasons,
        usage,
        reply.usage.is_complete,
        _usd(usage, price),
        None,
        reply.id,
        reply.model,
        reply.fingerprint,
    )


def answer_of(entry: Entry, key: str) -> Answer | None:
    """Return the sample `key` of a reply; None if the reply holds none for it."""
    return read(entry).answer(key)


def rows(entry: Entry, price: Price | None = None) -> Iterator[Row]:
    """Yield a reply's samples as rows of ENTRIES."""
    reading = read(entry, price)
    labels: Row = {name: entry[name] for name in _LABELS}  # type: ignore[literal-required]
    labels["response_id"] = reading.response_id
    labels["served_model"] = reading.served_model
    labels["system_fingerprint"] = reading.system_fingerprint
    request = json.dumps(entry["request"], ensure_ascii=False)
    for key in reading.keys:
        answer = reading.answer(key)
        assert answer is not None
        row: Row = answer._asdict() | labels
        row["key"] = bytes.fromhex(key)
        row["response"] = bytes.fromhex(answer.response)
        row["request"] = request if key == answer.response else ""
        yield row


def _read_version_1(entry: Entry, price: Price | None) -> Reading:
    texts = entry["texts"]
    usage = Usage(*entry["usage"])
    usd = entry["usd"]
    is_stated = not entry.get("estimated", False)
    if not is_possible(usage, len(texts)):  # an unsigned underflow of the server's, which version 1 believed
        prompt_tokens = expected_tokens(json.dumps(entry["request"]))
        usage = Usage(prompt_tokens, 0, sum(map(expected_tokens, texts)))
        usd = None
        is_stated = False
    if usd is None:
        usd = _usd(usage, price)
    return Reading(entry, texts, entry["finish"], usage, is_stated, usd)


@functools.cache
def _price(tiers: tuple[tuple[float, ...], ...]) -> Price:
    return Price.from_json(tiers)


def _usd(usage: Usage, price: Price | None) -> float | None:
    return None if price is None else price.of(*usage)

"""Journals for tests: entries, a writer that writes them all, a folder that cannot append."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import cast

import pyarrow.fs as pafs

from raydistill.teacher.api.request import Request
from raydistill.teacher.journal import Folder, Place, Reader, Writer, records
from raydistill.teacher.journal.records import Buyer, Entry
from raydistill.teacher.limits.amount import Amount

BUYER = Buyer("run", "s", "zero_shot")


def request(i: int) -> Request:
    """Return request number `i`."""
    return Request("https://api.example/v1", "completions", "m", f"Q: {i}?", 8, 0.7)


def entry(i: int, texts: list[str], first_sample: int = 0, asked: int | None = None) -> Entry:
    """Return a reply to request `i` with `texts` as its samples, as a server sends it.

    Args:
        i: number of the request.
        texts: the samples in the reply.
        first_sample: index of the first of them.
        asked: samples that were asked for, if more.
    """
    keys = request(i).keys(range(first_sample, first_sample + (asked or len(texts))))
    choices = [{"index": index, "text": text, "finish_reason": "stop"} for index, text in enumerate(texts)]
    usage = {"prompt_tokens": 10, "completion_tokens": 3 * len(texts) + 1, "total_tokens": 3 * len(texts) + 11}
    return reply(i, keys, json.dumps({"id": f"id-{i}", "model": "m", "choices": choices, "usage": usage}))


def reply(i: int, keys: list[str], body: str) -> Entry:
    """Return the line of a reply with any body."""
    return records.reply(
        keys,
        200,
        body.encode(),
        request(i).canonical(),
        BUYER,
        attempts=1,
        reserved=(20, 8),
        price=None,
        task="t",
        kind="rationale",
    )


def entry_v1(i: int, texts: list[str]) -> Entry:
    """Return a reply as version 1 wrote it."""
    fields = {
        "keys": request(i).keys(range(len(texts))),
        "texts": texts,
        "finish": ["stop"] * len(texts),
        "usage": [10, 2, 3 * len(texts) + 1],
        "usd": 0.5,
        "attempts": 1,
        "time": time.time(),
        **{"run": "run", "session": "s", "stage": "zero_shot", "task": "t", "kind": "rationale", "estimated": False},
        "request": request(i).canonical(),
    }
    return cast(Entry, fields)


def note(number: int) -> Entry:
    """Return a note."""
    return records.open_calls(Amount(0.5, number), "segment-x", number, BUYER)


def entries(count: int, *, samples: int = 1) -> list[Entry]:
    """Return replies 0 … count-1 with texts `text 0`, `text 1` …; of several samples `text 0.0`, `text 0.1` …."""
    if samples == 1:
        return [entry(i, [f"text {i}"]) for i in range(count)]
    return [entry(i, [f"text {i}.{sample}" for sample in range(samples)]) for i in range(count)]


def incompressible(i: int, size: int) -> str:
    """Return text number `i`, of about `size` random characters."""
    return random.Random(i).randbytes(size // 2).hex()


async def append(writer: Writer, what: list[Entry]) -> list[Place | BaseException]:
    """Append all of `what` at once; return the place of each, or its error."""
    return await asyncio.gather(*map(writer.append, what), return_exceptions=True)


def write(folder: Folder, what: list[Entry]) -> Writer:
    """Write `what` into a segment of its own; return its writer, which is still open."""
    writer = Writer(folder)
    for place in asyncio.run(append(writer, what)):
        if isinstance(place, BaseException):
            raise place
    return writer


def remote(path: Path) -> Folder:
    """Return a journal on a file system that cannot append, like an object store."""
    path.mkdir(exist_ok=True)
    folder = Folder(str(path))
    folder.fs, folder.root = pafs.SubTreeFileSystem(str(path), pafs.LocalFileSystem()), "."
    assert not folder.is_local
    return folder


def place(path: Path, kind: str) -> Folder:
    """Return a local or a remote journal at `path`."""
    return Folder(str(path)) if kind == "local" else remote(path)


def texts_of(reader: Reader, what: list[Entry]) -> list[str | None]:
    """Return the text under each key of `what`; None where there is none."""
    answers = [reader.get(key) for e in what for key in e["keys"]]
    return [answer.text if answer else None for answer in answers]


def file_of(path: Path, pattern: str) -> Path:
    """Return the only file in `path` that fits `pattern`."""
    [file] = path.glob(pattern)
    return file

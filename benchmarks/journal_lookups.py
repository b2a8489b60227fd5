"""Measure the journal: appends, start-up, look-ups in order and at random, before and after compaction.

python benchmarks/journal_lookups.py [--answers 30000] [--folder DIR]

Replies are of a few-shot prompt (about 2 kB, the same examples in all) and 60 words. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from raydistill.teacher.api.request import Request
from raydistill.teacher.journal import Folder, Reader, Writer, compaction, records
from raydistill.teacher.journal.records import Buyer, Entry
from raydistill.teacher.journal.scan import scan

IN_FLIGHT = 1000
RANDOM_LOOK_UPS = 2000
BUYER = Buyer("run", "session", "few_shot")

_T = TypeVar("_T")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--answers", type=int, default=30_000)
    parser.add_argument("--folder", help="where the journal is made (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as path:
        print(json.dumps(measure(path, args.answers)))


def measure(path: str, answers: int) -> dict[str, float]:
    """Return the figures of a journal at `path`."""
    rng = random.Random(0)
    words = [f"{rng.getrandbits(30):x}" for _ in range(5000)]
    examples = " ".join(rng.choices(words, k=300))
    folder = Folder(path)
    figures: dict[str, float] = {}
    keys: list[str] = []

    def make_entry(number: int) -> Entry:
        prompt = f"{examples}\nQ: {' '.join(rng.choices(words, k=40))} {number}?\nA:"
        request = Request("https://api.example/v1", "chat", "m", prompt, 128, 0.0)
        keys.extend(request.keys([0]))
        message = {"role": "assistant", "content": " ".join(rng.choices(words, k=60))}
        usage = {"prompt_tokens": 900, "completion_tokens": 128, "total_tokens": 1028}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = json.dumps({"id": f"chatcmpl-{number}", "model": "m", "choices": choices, "usage": usage})
        return records.reply(
            keys[-1:],
            200,
            body.encode(),
            request.canonical(),
            BUYER,
            attempts=1,
            reserved=(1000, 128),
            price=None,
            task="task",
            kind="rationale",
        )

    entries = [make_entry(number) for number in range(answers)]
    seconds, _ = timed(lambda: append_all(folder, entries))
    figures["append_us"] = seconds / answers * 1e6
    figures["segment_mb"] = size_mb(path, "segment-*")
    figures |= read_figures(folder, keys, rng, "segment")
    figures["compact_s"], count = timed(lambda: compaction.compact(folder))
    assert count == answers
    figures["sealed_mb"] = size_mb(path, "sealed-*")
    figures |= read_figures(folder, keys, rng, "sealed")
    for name, value in figures.items():
        print(f"{name:24} {value:10.3f}")
    return {name: round(value, 3) for name, value in figures.items()}


def append_all(folder: Folder, entries: list[Entry]) -> None:
    """Append all entries, IN_FLIGHT at a time."""

    async def run() -> None:
        writer = Writer(folder)
        await writer.open()
        for start in range(0, len(entries), IN_FLIGHT):
            await asyncio.gather(*map(writer.append, entries[start : start + IN_FLIGHT]))
        writer.close()

    asyncio.run(run())


def read_figures(folder: Folder, keys: list[str], rng: random.Random, form: str) -> dict[str, float]:
    """Return how long a reader takes to start, to look up, and to look for news; and a scan."""
    start_s, reader = timed(lambda: Reader(folder))
    in_order_s, _ = timed(lambda: look_up(reader, keys))
    some = rng.sample(keys, min(RANDOM_LOOK_UPS, len(keys)))
    random_s, _ = timed(lambda: look_up(reader, some))
    refresh_s, _ = timed(reader.refresh)
    scan_s, _ = timed(lambda: sum(1 for _ in scan(folder)))
    return {
        f"{form}_start_s": start_s,
        f"{form}_in_order_us": in_order_s / len(keys) * 1e6,
        f"{form}_random_us": random_s / len(some) * 1e6,
        f"{form}_refresh_ms": refresh_s * 1e3,
        f"{form}_scan_s": scan_s,
    }


def look_up(reader: Reader, keys: list[str]) -> None:
    """Look up each of `keys`."""
    for key in keys:
        assert reader.get(key) is not None


def timed(work: Callable[[], _T]) -> tuple[float, _T]:
    """Return the seconds that `work` takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def size_mb(path: str, pattern: str) -> float:
    """Return the size of the files that fit `pattern`."""
    return sum(file.stat().st_size for file in Path(path).glob(pattern)) / 1e6


if __name__ == "__main__":
    main()

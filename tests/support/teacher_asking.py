"""One asking actor without Ray: a Caller with a governor of its own, over real HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from raydistill import simulated
from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.request import Request
from raydistill.teacher.caller import About, Caller, Sample
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Limits, Report
from raydistill.teacher.limits.permits import Permits
from raydistill.teacher.limits.pricing import Price

KEY = "sk-test-0123456789"


def request(i: int = 0, **changes: Any) -> Request:
    asked = {"prompt": f"Q: What is {i} + 1?\nA: Let's think step by step.", "max_tokens": 64, "temperature": 0.0}
    return Request(**{"identity": "test", "endpoint": "completions", "model": simulated.MODEL, **asked, **changes})


class Asked:
    """What a set of requests came to."""

    def __init__(self, samples: list[list[Sample]], governor: Governor, order: list[int]) -> None:
        self.samples, self.governor, self.order = samples, governor, order

    @property
    def one(self) -> Sample:
        [[sample]] = self.samples
        return sample


def ask(
    server: simulated.Teacher,
    folder: Path,
    asked: list[tuple[Request, int]],
    *,
    key: str = KEY,
    limits: Limits | None = None,
    price: Price | None = None,
    **settings: Any,
) -> Asked:
    """Ask all at once through a Caller of its own (a new run on the same journal)."""
    teacher = TeacherSettings(**{"backoff_s": 0.01, "timeout": 20, "max_attempts": 4, **settings})
    governor = Governor(limits or Limits(max_concurrency=teacher.max_concurrency))
    order: list[int] = []

    async def exchange(report: Report) -> Grant:
        return governor.exchange(report)

    async def run() -> list[list[Sample]]:
        place = journal.Folder(str(folder))
        client, permits = Client(server.base_url, key, teacher.timeout), Permits("a", exchange)
        writer = journal.Writer(place)
        about = About("run", "session", "zero_shot")
        caller = Caller(client, permits, journal.Reader(place), writer, teacher, price, about)

        async def one(i: int, what: Request, n: int) -> list[Sample]:
            found = await caller.samples(what, n, "task", "rationale")
            order.append(i)
            return found

        try:
            found = await asyncio.gather(*(one(i, what, n) for i, (what, n) in enumerate(asked)))
            await permits.flush()
            return found
        finally:
            writer.close()
            await client.close()

    return Asked(asyncio.run(run()), governor, order)

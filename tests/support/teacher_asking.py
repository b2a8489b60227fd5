"""One actor of a teacher stage without Ray: a Caller with a governor of its own, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from raydistill import simulated
from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.request import Request
from raydistill.teacher.calls.caller import Caller
from raydistill.teacher.calls.claims import Claims
from raydistill.teacher.calls.stored_samples import Sample
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Limits, Report, StopReason
from raydistill.teacher.limits.permits import Permits
from raydistill.teacher.limits.price import Price
from raydistill.teacher.limits.pricing import Prices

KEY = "sk-test-0123456789"
SETTINGS = {"backoff_s": 0.01, "timeout": 20, "max_attempts": 4}


def request(i: int = 0, **changes: Any) -> Request:
    """Make the request about i + 1; `changes` are fields of it."""
    fields = {
        "identity": "test",
        "dialect": "completions",
        "model": simulated.MODEL,
        "prompt": f"Q: What is {i} + 1?\nA: Let's think step by step.",
        "max_tokens": 64,
        "temperature": 0.0,
    }
    return Request(**{**fields, **changes})


class Outcome(NamedTuple):
    """What a set of requests came to."""

    samples: list[list[Sample]]
    """Of each request."""
    governor: Governor
    order: list[int]
    """Numbers of the requests, as they were answered."""

    @property
    def one(self) -> Sample:
        """The sample, if there is one alone."""
        [[sample]] = self.samples
        return sample


def buy(
    server: simulated.Teacher,
    folder: Path,
    requests: list[tuple[Request, int]],
    *,
    key: str = KEY,
    limits: Limits | None = None,
    price: Price | None = None,
    run: str = "run",
    session: str = "session",
    is_shared: bool = False,
    while_waiting: tuple[float, Callable[[], None]] | None = None,
    stop_after: float | None = None,
    **settings: Any,
) -> Outcome:
    """Buy samples of all requests at once through a Caller of its own (a new run on the same journal).

    Args:
        server: Who answers.
        folder: The journal.
        requests: Each with its number of samples.
        key: API key.
        limits: The governor's.
        price: Of a token.
        run: Who buys.
        session: Which command of the run.
        is_shared: Other runs use the journal at the same time.
        while_waiting: What is done beside it, in a thread, after so many seconds.
        stop_after: Seconds after which the stage is stopped, as by Ctrl-C.
        settings: Of the teacher.
    """
    teacher = TeacherSettings(**{**SETTINGS, **settings})
    if stop_after is not None:
        while_waiting = (stop_after, lambda: governor.drain(StopReason("interrupt", "stopped")))
    governor = Governor(limits or Limits(max_concurrency=teacher.max_concurrency))
    order: list[int] = []

    async def exchange(report: Report) -> Grant:
        return governor.exchange(report)

    async def buy_all() -> list[list[Sample]]:
        place = journal.Folder(str(folder))
        client = Client(server.base_url, key, teacher.timeout, teacher.dialect)
        permits = Permits("a", exchange)
        reader = journal.Reader(place)
        writer = journal.Writer(place)
        buyer = Buyer(run, session, "zero_shot")
        prices = None if price is None else Prices.constant(price)
        claims = Claims(reader, writer, buyer) if is_shared else None
        caller = Caller(client, permits, reader, writer, teacher, prices, buyer, claims=claims)
        await caller.open()

        async def one(i: int, what: Request, n: int) -> list[Sample]:
            samples = await caller.samples(what, n, "task", "rationale")
            order.append(i)
            return samples

        beside = asyncio.ensure_future(_after(while_waiting))
        try:
            samples = await asyncio.gather(*(one(i, what, n) for i, (what, n) in enumerate(requests)))
            await beside
            await caller.flush()
            return samples
        finally:
            writer.close()
            await client.close()

    return Outcome(asyncio.run(buy_all()), governor, order)


async def _after(what: tuple[float, Callable[[], None]] | None) -> None:
    if what is None:
        return
    wait_s, do = what
    await asyncio.sleep(wait_s)
    await asyncio.to_thread(do)

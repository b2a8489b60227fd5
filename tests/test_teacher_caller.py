"""One caller over its life: what it asks for again, what it forgets, and what it tells the governor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.teacher_asking import KEY, SETTINGS, buy, request

from raydistill import simulated
from raydistill.config import SimulatedSettings, TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api.client import Client
from raydistill.teacher.calls import claims as claims_module
from raydistill.teacher.calls.caller import Caller
from raydistill.teacher.calls.claims import Claims
from raydistill.teacher.calls.stored_samples import Sample
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Limits, Report
from raydistill.teacher.limits.permits import Permits

ANSWER = {"text": "The answer is 7."}
REFUSED = {"status": 400, "body": '{"error": {"message": "not this one"}}', "times": 1}


@pytest.fixture
def server() -> Iterator[simulated.Teacher]:
    with simulated.serve(SimulatedSettings(latency_s=0.0), api_key=KEY) as server:
        yield server


def with_caller(server: simulated.Teacher, folder: Path, use: Callable[[Caller], Awaitable[None]]) -> None:
    """Run `use` with a caller of a journal that others use too."""
    governor = Governor(Limits(max_concurrency=4))

    async def exchange(report: Report) -> Grant:
        return governor.exchange(report)

    async def run() -> None:
        place = journal.Folder(str(folder))
        teacher = TeacherSettings(**SETTINGS)
        client = Client(server.base_url, KEY, teacher.timeout, teacher.dialect)
        reader = journal.Reader(place)
        writer = journal.Writer(place)
        buyer = Buyer("run", "session", "zero_shot")
        claims = Claims(reader, writer, buyer)
        caller = Caller(client, Permits("a", exchange), reader, writer, teacher, None, buyer, claims=claims)
        await caller.open()
        try:
            await use(caller)
            await caller.flush()
        finally:
            await claims.close()
            writer.close()
            await client.close()

    asyncio.run(run())


async def one(caller: Caller) -> Sample:
    [sample] = await caller.samples(request(), 1, "task", "rationale")
    return sample


def test_what_failed_is_requested_anew_when_it_is_asked_for_again(server: simulated.Teacher, tmp_path: Path) -> None:
    async def use(caller: Caller) -> None:
        failed = await one(caller)
        assert failed.error is not None
        answered = await one(caller)
        assert answered.answer is not None
        assert await one(caller) == answered

    server.script([REFUSED, ANSWER])
    with_caller(server, tmp_path, use)
    assert server.stats()["requests"] == 2


def test_what_a_run_could_not_buy_another_may(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim is renewed no more, though the run goes on."""
    monkeypatch.setattr(claims_module, "CLAIM_S", 0.5)
    monkeypatch.setattr(claims_module, "RENEW_S", 0.1)

    async def use(caller: Caller) -> None:
        assert (await one(caller)).error is not None
        bought = await asyncio.wait_for(
            asyncio.to_thread(buy, server, tmp_path, [(request(), 1)], run="another", is_shared=True), 5
        )
        assert bought.one.answer is not None

    server.script([REFUSED, ANSWER])
    with_caller(server, tmp_path, use)


def test_what_fails_is_told_to_the_governor(server: simulated.Teacher, tmp_path: Path) -> None:
    """Only it sees that a stage is hopeless."""
    server.script([{"status": 500, "body": '{"error": {"message": "upstream is down"}}'}])
    outcome = buy(server, tmp_path, [(request(), 1)], max_attempts=2)
    assert outcome.governor.breaker.commonest == "HTTP 500: upstream is down"


def test_an_answer_is_told_to_the_governor_and_attempts_are_counted(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"status": 500, "times": 2}, ANSWER])
    outcome = buy(server, tmp_path, [(request(), 1)])
    assert outcome.governor.breaker.commonest == ""  # what failed before it is forgotten
    counts = outcome.governor.snapshot()
    assert (counts.count("sent"), counts.count("retried"), counts.count("calls")) == (3, 2, 1)

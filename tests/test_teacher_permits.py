"""An actor's side of the governor: what it reports, whom it lets go, and that nobody who waits is forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.breaker import LONGEST_PAUSE_S
from raydistill.teacher.limits.concurrency import DEFAULT_PAUSE_S
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Limits, Report, StopReason
from raydistill.teacher.limits.permits import MAX_PERMITS, MESSAGE_CHARACTERS, Permit, Permits, Stopped
from raydistill.teacher.limits.tokens import TokenRatios

CALL = Amount(0.1, 100)


class Actor:
    """Permits of one actor, and what it has reported to a governor."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.governor = Governor(limits or Limits(max_concurrency=4))
        self.reports: list[Report] = []
        self.permits = Permits("a", self._exchange)

    async def _exchange(self, report: Report) -> Grant:
        self.reports.append(report)
        return self.governor.exchange(report)

    async def acquire(self, most: Amount = CALL) -> Permit:
        return await asyncio.wait_for(self.permits.acquire(lambda: most), 5)

    async def flushed(self) -> Report:
        """Return the next report."""
        count = len(self.reports)
        await self.permits.flush()
        return self.reports[count]


def in_a_loop(use: Callable[[Actor], Awaitable[None]], limits: Limits | None = None) -> None:
    """Run `use` with an actor in an event loop."""

    async def run() -> None:
        await use(Actor(limits))

    asyncio.run(run())


def test_what_a_call_reserved_is_given_back_and_what_it_took_is_reported_once() -> None:
    async def use(actor: Actor) -> None:
        permit = await actor.acquire()
        assert permit.is_reserved
        assert permit.most == CALL
        assert actor.governor.reserved == CALL
        actor.permits.settle(permit, Amount(0.02, 20))
        report = await actor.flushed()
        assert (report.settled, report.spent) == (CALL, Amount(0.02, 20))
        again = await actor.flushed()
        assert (again.settled, again.spent) == (NOTHING, NOTHING)
        assert actor.governor.spent == Amount(0.02, 20)
        assert actor.governor.reserved == NOTHING

    in_a_loop(use, Limits(max_concurrency=4, usd=1.0))


def test_without_limits_nothing_is_reserved_and_what_calls_took_counts_all_the_same() -> None:
    async def use(actor: Actor) -> None:
        await actor.acquire()
        permit = await actor.acquire()  # the grant says by now that no permits are needed
        assert not permit.is_reserved
        assert permit.most == CALL
        actor.permits.settle(permit, Amount(0.02, 20))
        assert actor.governor.reserved.tokens <= CALL.tokens
        await actor.flushed()
        assert actor.governor.spent == Amount(0.02, 20)

    in_a_loop(use)


def test_no_more_calls_are_in_flight_than_slots() -> None:
    async def use(actor: Actor) -> None:
        permits = [await actor.acquire() for _ in range(4)]
        fifth = asyncio.ensure_future(actor.permits.acquire(lambda: CALL))
        await asyncio.sleep(0.2)
        assert not fifth.done()
        actor.permits.settle(permits[0], NOTHING)
        await asyncio.wait_for(fifth, 1)
        report = await actor.flushed()
        assert (report.in_flight, report.waiting) == (4, 0)

    in_a_loop(use)


def test_a_report_says_what_failed_how_often_and_since_when() -> None:
    async def use(actor: Actor) -> None:
        now = time.monotonic()
        actor.permits.failed("HTTP 500: late", Permit(CALL, sent=now - 30))
        actor.permits.failed("HTTP 500: late", Permit(CALL, sent=now - 5))
        actor.permits.failed("x" * 5000, Permit(CALL, sent=now - 10))
        report = await actor.flushed()
        assert report.failures == {"HTTP 500: late": 2, "x" * MESSAGE_CHARACTERS: 1}
        assert 30 <= report.failing_since_s < 31
        actor.permits.failed("HTTP 500", Permit(CALL, sent=time.monotonic() - 5))
        report = await actor.flushed()
        assert report.failures == {"HTTP 500": 1}
        assert 5 <= report.failing_since_s < 6  # of these failures alone

    in_a_loop(use)


def test_what_failed_before_an_answer_is_no_sign_of_an_end() -> None:
    async def use(actor: Actor) -> None:
        actor.permits.failed("HTTP 500", Permit(CALL, sent=time.monotonic() - 30))
        actor.permits.answered()
        actor.permits.answered()
        report = await actor.flushed()
        assert report.failures == {}
        assert report.successes == 2
        actor.permits.answered()
        actor.permits.failed("HTTP 500", Permit(CALL, sent=time.monotonic() - 5))
        report = await actor.flushed()
        assert report.failures == {"HTTP 500": 1}
        assert report.failing_since_s < 6

    in_a_loop(use)


def test_the_oldest_call_in_flight_is_reported() -> None:
    async def use(actor: Actor) -> None:
        first = await actor.acquire()
        await asyncio.sleep(0.2)
        await actor.acquire()
        report = await actor.flushed()
        assert report.oldest_s == pytest.approx(time.monotonic() - first.sent, abs=0.1)
        actor.permits.settle(first, NOTHING)
        report = await actor.flushed()
        assert report.oldest_s is not None
        assert report.oldest_s < 0.2

    in_a_loop(use)


def test_of_several_rate_limits_the_longest_pause_is_reported_and_everybody_waits_at_once() -> None:
    async def use(actor: Actor) -> None:
        await actor.acquire()
        actor.permits.throttled(0.4)
        actor.permits.throttled(0.1)
        actor.permits.throttled(None)
        report = await actor.flushed()
        assert report.throttled == 0.4
        assert (await actor.flushed()).throttled is None
        started = time.monotonic()
        await actor.acquire()
        assert time.monotonic() - started >= DEFAULT_PAUSE_S * 0.9  # one did not say how long

    in_a_loop(use)


def test_a_pause_that_nobody_waits_for_is_reported_as_it_was_asked_for() -> None:
    async def use(actor: Actor) -> None:
        await actor.acquire()
        actor.permits.throttled(LONGEST_PAUSE_S + 1)
        assert (await actor.flushed()).throttled == LONGEST_PAUSE_S + 1
        await actor.acquire()

    in_a_loop(use)


def test_counts_add_up_until_they_are_reported() -> None:
    async def use(actor: Actor) -> None:
        actor.permits.count(sent=1, retried=2)
        actor.permits.count(sent=1)
        assert (await actor.flushed()).counts == {"sent": 2, "retried": 2}
        assert (await actor.flushed()).counts == {}
        assert actor.governor.counts == {"sent": 2, "retried": 2}

    in_a_loop(use)


def test_an_abort_stops_who_waits_who_sleeps_and_all_other_actors() -> None:
    async def use(actor: Actor) -> None:
        for _ in range(4):
            await actor.acquire()
        waiting = asyncio.ensure_future(actor.permits.acquire(lambda: CALL))
        sleeping = asyncio.ensure_future(actor.permits.sleep(60))
        await asyncio.sleep(0.05)
        actor.permits.abort(StopReason("fatal", "first"))
        actor.permits.abort(StopReason("fatal", "second"))
        await asyncio.wait_for(sleeping, 1)
        with pytest.raises(Stopped) as stopped:
            await asyncio.wait_for(waiting, 1)
        assert stopped.value.reason.message == "first"
        with pytest.raises(Stopped):
            await actor.acquire()
        await actor.flushed()
        assert actor.governor.stop == StopReason("fatal", "first")

    in_a_loop(use)


def test_nothing_is_sent_once_the_governor_is_gone() -> None:
    async def gone(report: Report) -> Grant:
        raise ConnectionError

    async def use() -> None:
        permits = Permits("a", gone)
        with pytest.raises(Stopped) as stopped:
            await asyncio.wait_for(permits.acquire(lambda: CALL), 5)
        assert stopped.value.reason.kind == "unreachable"
        assert "ConnectionError" in stopped.value.reason.message

    asyncio.run(use())


def test_calls_are_reserved_by_what_is_known_when_they_are_granted() -> None:
    """A first reply may have shown that calls take more than was thought."""
    known = [Amount(0.1, 100)]

    async def use(actor: Actor) -> None:
        first = await actor.acquire()
        second = asyncio.ensure_future(actor.permits.acquire(lambda: known[0]))
        await asyncio.sleep(0.1)
        known[0] = Amount(0.3, 300)
        actor.permits.answered()
        actor.permits.settle(first, Amount(0.3, 300))
        permit = await asyncio.wait_for(second, 5)
        assert permit.most == Amount(0.3, 300)
        assert actor.governor.reserved.tokens == 300
        assert actor.governor.reserved.usd == pytest.approx(0.3)

    in_a_loop(use, Limits(max_concurrency=4, usd=1.0))


def test_an_actor_asks_for_no_more_than_it_may_send_soon() -> None:
    async def use(actor: Actor) -> None:
        calls = [asyncio.ensure_future(actor.permits.acquire(lambda: CALL)) for _ in range(1000)]
        await asyncio.sleep(0.3)
        asked = [len(report.wants) for report in actor.reports]
        assert max(asked) <= MAX_PERMITS
        assert all(len(report.wants) <= 4 + 2 + 8 - report.in_flight for report in actor.reports)
        assert sum(call.done() for call in calls) == 4
        actor.permits.abort(StopReason("interrupt"))
        await asyncio.gather(*calls, return_exceptions=True)

    in_a_loop(use, Limits(max_concurrency=4, requests_per_minute=60_000))


def test_what_replies_stated_reaches_the_other_actors() -> None:
    async def use(actor: Actor) -> None:
        actor.permits.ratios.learn("abcd", 3, 5, 1)
        await actor.flushed()
        other = Permits("b", actor._exchange)
        await other.flush()
        assert other.ratios == actor.permits.ratios
        assert other.ratios == TokenRatios(0.75, 0.0, 5.0)

    in_a_loop(use)


def test_a_pause_that_another_actor_met_is_kept() -> None:
    async def use(actor: Actor) -> None:
        await actor.acquire()
        actor.governor.exchange(Report("b", throttled=0.6))
        await actor.flushed()
        started = time.monotonic()
        await actor.acquire()
        assert 0.4 < time.monotonic() - started < 3

    in_a_loop(use)


def test_an_actor_that_waits_sends_few_messages() -> None:
    async def use(actor: Actor) -> None:
        permits = [await actor.acquire() for _ in range(4)]
        waiting = asyncio.ensure_future(actor.permits.acquire(lambda: CALL))
        await asyncio.sleep(0.2)
        before = len(actor.reports)
        await asyncio.sleep(1.0)
        assert 2 <= len(actor.reports) - before <= 10
        actor.permits.settle(permits[0], NOTHING)
        await waiting

    in_a_loop(use)


def test_without_limits_a_call_goes_at_once() -> None:
    async def use(actor: Actor) -> None:
        await actor.acquire()
        second = asyncio.ensure_future(actor.permits.acquire(lambda: CALL))
        for _ in range(3):
            await asyncio.sleep(0)
        assert second.done()

    in_a_loop(use)

"""An actor's side of the governor: calls wait here until they may be sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.breaker import LONGEST_PAUSE_S
from raydistill.teacher.limits.concurrency import DEFAULT_PAUSE_S
from raydistill.teacher.limits.governor import POLL_S
from raydistill.teacher.limits.messages import Grant, RateLimits, Report, StopReason
from raydistill.teacher.limits.tokens import TokenRatios

MIN_POLL_S = 0.03
MAX_PERMITS = 128  # in one grant
MESSAGE_CHARACTERS = 200  # of an error, by which failures are counted


class Stopped(Exception):
    """No more calls are sent; `reason` says why."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Permit:
    """Leave to send one call."""

    most: Amount
    """The most that the call may take."""
    is_reserved: bool = False
    """The governor holds that much for it; not if nothing but the calls in flight is limited."""
    sent: float = 0.0
    """When, in seconds of time.monotonic."""


@dataclass
class _WaitingCall:
    admitted: asyncio.Future[Permit]
    most: Callable[[], Amount]
    permit: Permit = field(default_factory=lambda: Permit(NOTHING))


class Permits:
    """An actor's permits to send; use it in one event loop. `exchange` carries a Report to the governor.

    Attributes:
        actor: this actor's name.
        ratios: what the replies of all actors have stated about tokens.
        stop: why no more calls are sent; None while they are.
    """

    def __init__(self, actor: str, exchange: Callable[[Report], Awaitable[Grant]]) -> None:
        self.actor = actor
        self.ratios = TokenRatios()
        self.stop: StopReason | None = None
        self._exchange = exchange
        self._queue: deque[_WaitingCall] = deque()
        self._in_flight: dict[int, Permit] = {}  # by id, in the order in which they were sent
        self._permits = 0
        self._slots = 0
        self._unlimited = False
        self._paused_until = 0.0
        self._again_s = 0.0
        self._report = Report(actor)
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._trade_lock = asyncio.Lock()
        self._poll_task: asyncio.Task[None] | None = None

    async def acquire(self, most: Callable[[], Amount]) -> Permit:
        """Wait for a permit to send one call; `most` says what it may take, by what is known when it is reserved.

        Raises:
            Stopped: there will be none.
        """
        if self.stop:
            raise Stopped(self.stop)
        if self._poll_task is None:
            self._poll_task = asyncio.ensure_future(self._poll())
        call = _WaitingCall(asyncio.get_running_loop().create_future(), most)
        self._queue.append(call)
        self._admit()
        if not call.admitted.done() and (not self._slots or not self._unlimited):
            self._wake.set()
        return await call.admitted

    def settle(self, permit: Permit, spent: Amount) -> None:
        """Book a call that is over: give its slot back, and what it did not use of its reservation."""
        del self._in_flight[id(permit)]
        report = self._report
        if permit.is_reserved:
            report.settled = report.settled.plus(permit.most)
        report.spent = report.spent.plus(spent)
        self._admit()

    def answered(self) -> None:
        """Note that a call was answered."""
        report = self._report
        report.successes += 1
        report.failures.clear()

    def failed(self, message: str, permit: Permit) -> None:
        """Note that an attempt was not answered, and why."""
        report = self._report
        since_s = time.monotonic() - permit.sent
        report.failing_since_s = max(report.failing_since_s, since_s) if report.failures else since_s
        shown = message[:MESSAGE_CHARACTERS]
        report.failures[shown] = report.failures.get(shown, 0) + 1

    def throttled(self, retry_after: float | None) -> None:
        """Tell everybody at once that a call met a rate limit; `retry_after` is the seconds to wait, if stated."""
        wait_s = retry_after or 0.0
        pause_s = wait_s if 0 < wait_s <= LONGEST_PAUSE_S else DEFAULT_PAUSE_S
        self._report.throttled = max(self._report.throttled or 0.0, wait_s)
        self._paused_until = max(self._paused_until, time.monotonic() + pause_s)
        self._wake.set()

    def learned(self, rate_limits: RateLimits) -> None:
        """Pass on what a response's x-ratelimit-* headers state."""
        self._report.rate_limits = rate_limits

    def count(self, **counts: float) -> None:
        """Add to the stage's counts."""
        totals = self._report.counts
        for name, count in counts.items():
            totals[name] = totals.get(name, 0) + count

    def abort(self, reason: StopReason) -> None:
        """Stop this actor at once, and all others with the next message."""
        self._report.stop = self._report.stop or reason
        self._halt(reason)
        self._wake.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep between two attempts; returns early if nobody sends any more."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def flush(self) -> None:
        """Bring all counts to the governor."""
        await self._trade()

    def _admit(self) -> None:
        """Let as many waiting calls go as may go now."""
        while self._queue and len(self._in_flight) < self._slots and (self._unlimited or self._permits):
            now = time.monotonic()
            if now < self._paused_until:
                return
            call = self._queue.popleft()
            if self._unlimited:
                call.permit = Permit(call.most())
            else:
                self._permits -= 1
                call.permit.is_reserved = True
            call.permit.sent = now
            self._in_flight[id(call.permit)] = call.permit
            call.admitted.set_result(call.permit)

    async def _poll(self) -> None:
        """Trade with the governor, on time or when something happened, until nothing is sent or in flight any more."""
        while not self.stop or self._in_flight:
            wait_s = self._again_s or POLL_S
            pause_s = self._paused_until - time.monotonic()
            wait_s = min(wait_s, pause_s if pause_s > 0 else POLL_S)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(MIN_POLL_S, wait_s))
            self._wake.clear()
            await self._trade()
            self._admit()
            await asyncio.sleep(MIN_POLL_S)

    async def _trade(self) -> None:
        """Report what happened and take what is granted."""
        async with self._trade_lock:
            report = self._report
            self._report = Report(self.actor)
            report.in_flight = len(self._in_flight)
            report.waiting = len(self._queue)
            report.wants = self._wants()
            report.ratios = self.ratios
            oldest = next(iter(self._in_flight.values()), None)
            if oldest is not None:
                report.oldest_s = time.monotonic() - oldest.sent
            try:
                grant = await self._exchange(report)
            except Exception as error:  # the governor is gone (its node, or the driver): nothing may be sent unseen
                message = f"the rate limiter actor cannot be reached: {type(error).__name__}"
                self._halt(StopReason("unreachable", message))
                return
            self._take(grant)

    def _wants(self) -> list[Amount]:
        """Return the most that each of the next calls without a permit may take, by what is known now."""
        if self._unlimited:
            return []
        room = self._slots + self._slots // 2 + 8 - len(self._in_flight) - self._permits
        count = min(MAX_PERMITS, max(0, room))
        wants = []
        for call in itertools.islice(self._queue, self._permits, self._permits + count):
            call.permit.most = call.most()
            wants.append(call.permit.most)
        return wants

    def _take(self, grant: Grant) -> None:
        self._slots = grant.slots
        self._unlimited = grant.unlimited
        self._again_s = grant.again_s
        self._permits = 0 if grant.unlimited else self._permits + grant.permits
        self.ratios.take_in(grant.ratios)
        if grant.pause_s > 0:
            self._paused_until = max(self._paused_until, time.monotonic() + grant.pause_s)
        if grant.stop:
            self._halt(grant.stop)

    def _halt(self, reason: StopReason) -> None:
        self.stop = self.stop or reason
        self._stopped.set()
        while self._queue:
            self._queue.popleft().admitted.set_exception(Stopped(self.stop))

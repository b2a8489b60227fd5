"""An actor's side of the governor: calls wait here until they may be sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from raydistill.teacher.limits.concurrency import DEFAULT_PAUSE_S
from raydistill.teacher.limits.governor import POLL_S
from raydistill.teacher.limits.messages import Grant, RateLimits, Report, StopReason

MIN_POLL_S = 0.03
MAX_PERMITS = 128  # in one grant


class Stopped(Exception):
    """No more calls are sent; `reason` says why."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class _WaitingCall:
    admitted: asyncio.Future[None]
    tokens: int
    usd: float


class Permits:
    """An actor's permits to send; use it in one event loop. `exchange` carries a Report to the governor.

    Attributes:
        actor: this actor's name.
        stop: why no more calls are sent; None while they are.
    """

    def __init__(self, actor: str, exchange: Callable[[Report], Awaitable[Grant]]) -> None:
        self.actor = actor
        self.stop: StopReason | None = None
        self._exchange = exchange
        self._queue: deque[_WaitingCall] = deque()
        self._permits = 0
        self._slots = 0
        self._in_flight = 0
        self._unlimited = False
        self._paused_until = 0.0
        self._again_s = 0.0
        self._report = Report(actor)
        self._wake = asyncio.Event()
        self._trade_lock = asyncio.Lock()
        self._poll_task: asyncio.Task[None] | None = None

    async def acquire(self, tokens: int, usd: float) -> None:
        """Wait for a permit to send one call of at most `tokens` and `usd`.

        Raises:
            Stopped: there will be none.
        """
        if self.stop:
            raise Stopped(self.stop)
        if self._poll_task is None:
            self._poll_task = asyncio.ensure_future(self._poll())
        call = _WaitingCall(asyncio.get_running_loop().create_future(), tokens, usd)
        self._queue.append(call)
        self._admit()
        if not call.admitted.done() and (not self._slots or not self._unlimited):
            self._wake.set()
        await call.admitted

    def settle(self, reserved: tuple[int, float], spent: tuple[int, float]) -> None:
        """Book a call that is over: give its slot back, and what it did not use of its (tokens, USD)."""
        self._in_flight -= 1
        report = self._report
        report.settled_tokens += reserved[0]
        report.settled_usd += reserved[1]
        report.spent_tokens += spent[0]
        report.spent_usd += spent[1]
        self._admit()

    def throttled(self, retry_after: float | None) -> None:
        """Tell everybody at once that a call met a rate limit; `retry_after` is the seconds to wait, if stated."""
        pause_s = retry_after or DEFAULT_PAUSE_S
        self._report.throttled = max(self._report.throttled or 0.0, retry_after or 0.0)
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
        self._report.stop = reason
        self._halt(reason)
        self._wake.set()

    async def flush(self) -> None:
        """Bring all counts to the governor."""
        await self._trade()

    def _admit(self) -> None:
        """Let as many waiting calls go as may go now."""
        while self._queue and self._in_flight < self._slots and (self._unlimited or self._permits):
            if time.monotonic() < self._paused_until:
                return
            call = self._queue.popleft()
            if not self._unlimited:
                self._permits -= 1
            self._in_flight += 1
            call.admitted.set_result(None)

    async def _poll(self) -> None:
        """Trade with the governor, on time or when something happened, until everything stops."""
        while not self.stop:
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
            report.in_flight = self._in_flight
            report.waiting = len(self._queue)
            report.wants = self._wants()
            try:
                grant = await self._exchange(report)
            except Exception as error:  # the governor is gone (its node, or the driver): nothing may be sent unseen
                message = f"the rate limiter actor cannot be reached: {type(error).__name__}"
                self._halt(StopReason("unreachable", message))
                return
            self._take(grant)

    def _wants(self) -> list[tuple[int, float]]:
        """Return the most that each of the next calls without a permit may take."""
        if self._unlimited:
            return []
        room = self._slots + self._slots // 2 + 8 - self._in_flight - self._permits
        count = min(MAX_PERMITS, max(0, room))
        calls = itertools.islice(self._queue, self._permits, self._permits + count)
        return [(call.tokens, call.usd) for call in calls]

    def _take(self, grant: Grant) -> None:
        self._slots = grant.slots
        self._unlimited = grant.unlimited
        self._again_s = grant.again_s
        self._permits = 0 if grant.unlimited else self._permits + grant.permits
        if grant.pause_s > 0:
            self._paused_until = max(self._paused_until, time.monotonic() + grant.pause_s)
        if grant.stop:
            self._halt(grant.stop)

    def _halt(self, reason: StopReason) -> None:
        self.stop = self.stop or reason
        while self._queue:
            self._queue.popleft().admitted.set_exception(Stopped(self.stop))

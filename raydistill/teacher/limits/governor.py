"""One place that says who may call when: requests, tokens, calls in flight and money over all actors of a stage.

`Governor` holds the limits and is pure bookkeeping (a Ray actor in a run, a plain object in tests). Each asking actor
holds `Permits`, which trade with it in chunks, a few messages a second, however many calls there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

SAFETY = 0.98  # of a stated limit: clocks and networks jitter, and a refused call costs more than the 2 %
BEAT_S, SHORTEST_BEAT_S = 0.1, 0.03
CHUNK = 128  # most tickets in one grant
SILENT_S = 10.0  # an actor that says nothing for so long is dead: its calls in flight no longer count
RECOVER_S = 30.0  # from the floor back to the ceiling


@dataclass(frozen=True)
class Limits:
    in_flight: int
    floor: int = 1
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    usd: float | None = None  # what may still be spent
    tokens: int | None = None
    lenient: bool = False  # what the budget does not cover fails as rows; the stage does not


@dataclass
class Report:
    """What an actor tells: its state, and what happened since its last report."""

    actor: str
    in_flight: int = 0
    waiting: int = 0
    wants: list[tuple[int, float]] = field(default_factory=list)  # (tokens, USD) of the next calls, at the most
    settled_tokens: int = 0  # reservations that are settled
    settled_usd: float = 0.0
    spent_tokens: int = 0  # what those calls really took
    spent_usd: float = 0.0
    throttled: float | None = None  # a 429 came: seconds that it asked to wait (0: it did not say)
    limits: tuple[float | None, float | None, float] | None = None  # x-ratelimit-*: RPM, TPM, hold
    stop: tuple[str, str] | None = None  # (why, message): nobody shall send any more
    counts: dict[str, float] = field(default_factory=dict)


@dataclass
class Grant:
    slots: int  # calls in flight that the actor may have
    tickets: int  # how many of its `wants` may go
    unlimited: bool  # no tickets needed
    pause_s: float
    again_s: float  # when to ask for more
    stop: tuple[str, str] | None


class Bucket:
    """A steady allowance. It may go into debt for one large call, which is then waited off."""

    def __init__(self, per_minute: float, burst_s: float, now: float) -> None:
        self.rate = per_minute / 60 * SAFETY
        self.burst = max(1.0, self.rate * burst_s)
        self.level, self.at = 1.0, now

    def has(self, amount: float, now: float) -> bool:
        self.level = min(max(self.burst, self.level), self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level >= amount

    def wait(self, amount: float) -> float:
        return max(0.0, (amount - self.level) / self.rate)


@dataclass
class _Share:
    in_flight: int = 0
    wish: int = 0
    slots: int = 0
    seen: float = 0.0
    reserved_usd: float = 0.0
    reserved_tokens: int = 0


class Governor:
    """Limits and counts of one stage. Times are seconds of `clock`."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        now = clock()
        self.limit = float(limits.in_flight)  # adaptive
        self.requests = Bucket(limits.requests_per_minute, 0.25, now) if limits.requests_per_minute else None
        self.tokens = Bucket(limits.tokens_per_minute, 1.0, now) if limits.tokens_per_minute else None
        self.spent_usd, self.spent_tokens = 0.0, 0
        self.paused_until = self.calm_from = self.grown_at = now
        self.stop: tuple[str, str] | None = None
        self.counts: dict[str, float] = {}
        self.actors: dict[str, _Share] = {}
        self.blocks: dict[int, str] = {}  # who has begun which

    def exchange(self, report: Report) -> Grant:
        """Take in what happened and hand out what may happen next."""
        now = self.clock()
        me = self.actors.setdefault(report.actor, _Share())
        me.in_flight, me.wish, me.seen = report.in_flight, report.in_flight + report.waiting, now
        for name in [name for name, share in self.actors.items() if now - share.seen >= SILENT_S]:
            self._bury(name)
        self._settle(report, me, now)
        me.slots = self._slots(me)
        tickets, again_s = (0, BEAT_S) if self.stop or now < self.paused_until else self._grant(report.wants, me, now)
        return Grant(
            slots=me.slots,
            tickets=tickets,
            unlimited=not (self.requests or self.tokens or self._has_budget),
            pause_s=max(0.0, self.paused_until - now),
            again_s=again_s,
            stop=self.stop,
        )

    def begin(self, block: int, actor: str) -> bool:
        """True where `block` was begun before, by an actor that has died: its slots are free at once."""
        before = self.blocks.get(block)
        self.blocks[block] = actor
        if before not in (None, actor):
            self._bury(before)
        return before is not None

    def drain(self, why: str, message: str) -> None:
        """Let nobody send any more; calls in flight come home."""
        self.stop = self.stop or (why, message)

    def snapshot(self) -> dict[str, Any]:
        """Counts so far, for the progress line and the end of the stage."""
        return self.counts | {
            "spent_usd": self.spent_usd,
            "spent_tokens": self.spent_tokens,
            "in_flight": sum(share.in_flight for share in self.actors.values()),
            "limit": int(self.limit),
            "paused_s": max(0.0, self.paused_until - self.clock()),
            "stop": self.stop,
        }

    @property
    def _has_budget(self) -> bool:
        return self.limits.usd is not None or self.limits.tokens is not None

    @property
    def reserved_usd(self) -> float:
        return sum(share.reserved_usd for share in self.actors.values())

    @property
    def reserved_tokens(self) -> int:
        return sum(share.reserved_tokens for share in self.actors.values())

    def _bury(self, actor: str) -> None:
        """Forget a dead actor; what it had reserved may have been spent, so it counts as that."""
        share = self.actors.pop(actor, _Share())
        self.spent_usd += share.reserved_usd
        self.spent_tokens += share.reserved_tokens

    def _settle(self, report: Report, me: _Share, now: float) -> None:
        me.reserved_usd -= report.settled_usd
        me.reserved_tokens -= report.settled_tokens
        self.spent_usd += report.spent_usd
        self.spent_tokens += report.spent_tokens
        if self.tokens:
            self.tokens.level += report.settled_tokens - report.spent_tokens
        for name, count in report.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        if report.stop:
            self.drain(*report.stop)
        if report.limits:
            self._learn(*report.limits, now)
        if report.throttled is not None:
            self.paused_until = max(self.paused_until, now + (report.throttled or 1.0))
            if now >= self.calm_from:  # one decrease for a burst of refusals
                self.limit = max(float(self.limits.floor), self.limit / 2)
            self.calm_from = max(self.paused_until, now + 1.0)
        elif now >= self.calm_from:
            grown = (now - max(self.grown_at, self.calm_from)) * self.limits.in_flight / RECOVER_S
            self.limit = min(float(self.limits.in_flight), self.limit + max(0.0, grown))
        self.grown_at = now

    def _learn(self, rpm: float | None, tpm: float | None, hold_s: float, now: float) -> None:
        """The server's own limits count where they are lower than the user's (or the user gave none)."""
        if rpm and (self.requests is None or rpm / 60 * SAFETY < self.requests.rate * 0.999):
            self.requests = Bucket(rpm, 0.25, now)
        if tpm and (self.tokens is None or tpm / 60 * SAFETY < self.tokens.rate * 0.999):
            self.tokens = Bucket(tpm, 1.0, now)
        if hold_s:
            self.paused_until = max(self.paused_until, now + hold_s)

    def _slots(self, me: _Share) -> int:
        """This actor's part of the calls in flight: max-min fair, and never more than the others leave free."""
        limit = int(self.limit)
        left, fair = limit, 0
        for waiting, share in enumerate(sorted(self.actors.values(), key=lambda s: s.wish)):
            part = min(share.wish, left // (len(self.actors) - waiting))
            left -= part
            if share is me:
                fair = part
        others = sum(max(share.slots, share.in_flight) for share in self.actors.values() if share is not me)
        return max(0, min(fair + left // len(self.actors), limit - others))

    def _grant(self, wants: list[tuple[int, float]], me: _Share, now: float) -> tuple[int, float]:
        granted = 0
        for tokens, usd in wants:
            if self.requests and not self.requests.has(1.0, now):
                return granted, self.requests.wait(1.0)
            if self.tokens and not self.tokens.has(1.0, now):
                return granted, self.tokens.wait(1.0)
            if over := self._over_budget(tokens, usd):
                if self.reserved_tokens <= 0:  # nothing in flight that could give something back
                    self.drain("budget", over)
                return granted, BEAT_S
            if self.requests:
                self.requests.level -= 1
            if self.tokens:
                self.tokens.level -= tokens
            me.reserved_usd += usd
            me.reserved_tokens += tokens
            granted += 1
        return granted, BEAT_S

    def _over_budget(self, tokens: int, usd: float) -> str:
        if self.limits.usd is not None and self.spent_usd + self.reserved_usd + usd > self.limits.usd:
            return f"the next call may cost ${usd:.4f}, and ${self.limits.usd - self.spent_usd:.4f} is left"
        if self.limits.tokens is not None and self.spent_tokens + self.reserved_tokens + tokens > self.limits.tokens:
            return f"the next call may take {tokens:,} tokens, and {self.limits.tokens - self.spent_tokens:,} are left"
        return ""


class Stopped(Exception):
    """No more calls: (why, message)."""


@dataclass
class _Waiting:
    future: asyncio.Future[None]
    tokens: int
    usd: float


class Permits:
    """An actor's side of the governor; use it in one event loop. `exchange` carries a Report to it."""

    def __init__(self, actor: str, exchange: Callable[[Report], Awaitable[Grant]]) -> None:
        self.actor, self._exchange = actor, exchange
        self._queue: deque[_Waiting] = deque()
        self._tickets = self._slots = self._in_flight = 0
        self._unlimited = False
        self._paused_until = 0.0
        self._again_s = 0.0
        self._report = Report(actor)
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._pump_task: asyncio.Task[None] | None = None
        self.stop: tuple[str, str] | None = None

    async def acquire(self, tokens: int, usd: float) -> None:
        """Wait for a permit to send one call of at most `tokens` and `usd`; Stopped where there will be none."""
        if self.stop:
            raise Stopped(*self.stop)
        if self._pump_task is None:
            self._pump_task = asyncio.ensure_future(self._pump())
        waiting = _Waiting(asyncio.get_running_loop().create_future(), tokens, usd)
        self._queue.append(waiting)
        self._admit()
        if not waiting.future.done() and (not self._slots or not self._unlimited):
            self._wake.set()
        await waiting.future

    def settle(self, reserved: tuple[int, float], spent: tuple[int, float]) -> None:
        """The call is over: give its slot back, and what it did not use of (tokens, USD)."""
        self._in_flight -= 1
        report = self._report
        report.settled_tokens += reserved[0]
        report.settled_usd += reserved[1]
        report.spent_tokens += spent[0]
        report.spent_usd += spent[1]
        self._admit()

    def throttled(self, retry_after: float | None) -> None:
        """A call was refused for its rate: tell everybody now."""
        self._report.throttled = max(self._report.throttled or 0.0, retry_after or 0.0)
        self._paused_until = max(self._paused_until, time.monotonic() + (retry_after or 1.0))
        self._wake.set()

    def learned(self, limits: tuple[float | None, float | None, float]) -> None:
        """What a response's x-ratelimit-* headers said."""
        self._report.limits = limits

    def count(self, **counts: float) -> None:
        mine = self._report.counts
        for name, count in counts.items():
            mine[name] = mine.get(name, 0) + count

    def give_up(self, why: str, message: str) -> None:
        """Stop this actor at once and all others with the next message."""
        self._report.stop = (why, message)
        self._halt((why, message))
        self._wake.set()

    async def flush(self) -> None:
        """Bring all counts home."""
        await self._trade()

    def _admit(self) -> None:
        while self._queue and self._in_flight < self._slots and (self._unlimited or self._tickets):
            if time.monotonic() < self._paused_until:
                return
            waiting = self._queue.popleft()
            if not self._unlimited:
                self._tickets -= 1
            self._in_flight += 1
            waiting.future.set_result(None)

    async def _pump(self) -> None:
        while not self.stop:
            pause = self._paused_until - time.monotonic()
            beat = min(self._again_s or BEAT_S, pause if pause > 0 else BEAT_S)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(SHORTEST_BEAT_S, beat))
            self._wake.clear()
            await self._trade()
            self._admit()
            await asyncio.sleep(SHORTEST_BEAT_S)

    async def _trade(self) -> None:
        async with self._turn:
            report, self._report = self._report, Report(self.actor)
            report.in_flight, report.waiting = self._in_flight, len(self._queue)
            if not self._unlimited:
                ahead = max(0, self._slots + self._slots // 2 + 8 - self._in_flight - self._tickets)
                wanting = itertools.islice(self._queue, self._tickets, self._tickets + min(CHUNK, ahead))
                report.wants = [(waiting.tokens, waiting.usd) for waiting in wanting]
            try:
                grant = await self._exchange(report)
            except Exception as error:  # the governor is gone (its node, or the driver): nothing may be sent unseen
                self._halt(("lost", f"the governor cannot be reached: {type(error).__name__}"))
                return
            self._slots, self._unlimited, self._again_s = grant.slots, grant.unlimited, grant.again_s
            self._tickets = 0 if grant.unlimited else self._tickets + grant.tickets
            if grant.pause_s > 0:
                self._paused_until = max(self._paused_until, time.monotonic() + grant.pause_s)
            if grant.stop:
                self._halt(grant.stop)

    def _halt(self, stop: tuple[str, str]) -> None:
        self.stop = self.stop or stop
        while self._queue:
            self._queue.popleft().future.set_exception(Stopped(*self.stop))

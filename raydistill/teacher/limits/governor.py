"""One place that says who may call when: requests, tokens, calls in flight and money over all actors of a stage.

`Governor` is pure bookkeeping (a Ray actor in a run, a plain object in tests). Each actor that sends requests holds
`permits.Permits`, which trade with it in chunks, a few messages a second, however many calls there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from raydistill.teacher.limits import budget
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.breaker import LONGEST_PAUSE_S, Breaker
from raydistill.teacher.limits.bucket import Bucket
from raydistill.teacher.limits.concurrency import ActorState, Concurrency, slots
from raydistill.teacher.limits.messages import Grant, Limits, RateLimits, Report, Snapshot, StopReason
from raydistill.teacher.limits.tokens import TokenRatios

HEARTBEAT_TIMEOUT_S = 10.0  # an actor without a report for so long is dead
FEW_FAILED = 10  # rows that end no stage early, however small it is
POLL_S = 0.1  # an actor that may send nothing now asks again after so long
_REQUEST_BURST_S = 0.25
_TOKEN_BURST_S = 1.0


class Governor:
    """Limits and counts of one stage. Times are seconds of `clock`."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        now = clock()
        self.concurrency = Concurrency(limits.min_concurrency, limits.max_concurrency, now)
        self.request_bucket = _bucket(limits.requests_per_minute, _REQUEST_BURST_S, now)
        self.token_bucket = _bucket(limits.tokens_per_minute, _TOKEN_BURST_S, now)
        self.breaker = Breaker()
        self.ratios = TokenRatios()
        self.spent = NOTHING
        self.stop: StopReason | None = None
        self.counts: dict[str, float] = {}
        self.actors: dict[str, ActorState] = {}
        self.actor_by_block: dict[int, str] = {}
        self._is_first_call_over = False

    def exchange(self, report: Report) -> Grant:
        """Take in what happened and hand out what may happen next."""
        now = self.clock()
        actor = self.actors.setdefault(report.actor, ActorState())
        actor.in_flight = report.in_flight
        actor.demand = report.in_flight + report.waiting
        actor.last_report = now
        actor.oldest_sent = None if report.oldest_s is None else now - report.oldest_s
        self._evict_silent(now)
        self._settle(report, actor)
        self._adapt(report, now)
        self._give_up(report, now)
        actor.slots = slots(int(self.concurrency.limit), actor, self.actors.values())
        permits = 0
        again_s = POLL_S
        if self.stop is None and now >= self.concurrency.paused_until:
            permits, again_s = self._grant(report.wants, actor, now)
        is_rate_limited = self.request_bucket is not None or self.token_bucket is not None
        return Grant(
            slots=actor.slots,
            permits=permits,
            unlimited=not is_rate_limited and not self.limits.has_budget,
            pause_s=max(0.0, self.concurrency.paused_until - now),
            again_s=again_s,
            ratios=self.ratios,
            stop=self.stop,
        )

    def begin(self, block: int, actor: str) -> bool:
        """Note that `actor` begins `block`.

        Returns:
            True if the block was begun before, by an actor that has died: its slots are free at once.
        """
        previous = self.actor_by_block.get(block)
        self.actor_by_block[block] = actor
        if previous is not None and previous != actor:
            self._evict(previous)
        return previous is not None

    def drain(self, reason: StopReason) -> None:
        """Let nobody send any more; calls in flight come home. The first reason counts."""
        self.stop = self.stop or reason

    def snapshot(self) -> Snapshot:
        """Return the counts so far."""
        return Snapshot(
            counts=self.counts,
            spent=self.spent,
            in_flight=sum(actor.in_flight for actor in self.actors.values()),
            concurrency=int(self.concurrency.limit),
            paused_s=max(0.0, self.concurrency.paused_until - self.clock()),
            stop=self.stop,
        )

    @property
    def reserved(self) -> Amount:
        """What the calls in flight may take at the most."""
        total = NOTHING
        for actor in self.actors.values():
            total = total.plus(actor.reserved)
        return total

    def _evict_silent(self, now: float) -> None:
        for name, actor in list(self.actors.items()):
            if now - actor.last_report >= HEARTBEAT_TIMEOUT_S:
                self._evict(name)

    def _evict(self, name: str) -> None:
        """Forget a dead actor; what it had reserved may have been spent, so it counts as spent."""
        actor = self.actors.pop(name, None)
        if actor is not None:
            self.spent = self.spent.plus(actor.reserved)

    def _settle(self, report: Report, actor: ActorState) -> None:
        """Book the calls that are over: their reservations go, what they really took is spent."""
        actor.reserved = actor.reserved.minus(report.settled)
        self.spent = self.spent.plus(report.spent)
        if self.token_bucket:
            self.token_bucket.level += report.settled.tokens - report.spent.tokens
        for name, count in report.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def _adapt(self, report: Report, now: float) -> None:
        """Adapt to what the server answered."""
        if report.stop:
            self.drain(report.stop)
        if report.rate_limits:
            self._apply(report.rate_limits, now)
        self.ratios.take_in(report.ratios)
        if report.throttled is None:
            self.concurrency.grow(now)
        else:
            # A longer pause is a quota of its own, which other calls may not meet: nobody waits a day.
            pause_s = report.throttled if report.throttled <= LONGEST_PAUSE_S else 0.0
            self.breaker.rate_limited(pause_s)
            self.concurrency.throttle(pause_s, now)

    def _give_up(self, report: Report, now: float) -> None:
        """End the stage if no call is answered any more, or if more rows failed than may."""
        if report.successes:
            self.breaker.answered()
        if report.successes or (report.failures and report.throttled is None):
            self._is_first_call_over = True
        self.breaker.failed(report.failures, report.failing_since_s, now)
        sent = [actor.oldest_sent for actor in self.actors.values() if actor.oldest_sent is not None]
        hopeless = self.breaker.reason(min(sent, default=None), now)
        if hopeless:
            self.drain(hopeless)
        failed = int(self.counts.get("failed", 0))
        if self.limits.max_failed is not None and failed > max(self.limits.max_failed, FEW_FAILED):
            self.drain(StopReason("failures", f"{failed} rows have failed, {self.limits.max_failed} may"))

    def _apply(self, stated: RateLimits, now: float) -> None:
        """Keep the server's own limits if they are lower than the user's, or if the user set none."""
        requests = stated.requests_per_minute
        if requests and (self.request_bucket is None or self.request_bucket.is_above(requests)):
            self.request_bucket = Bucket(requests, _REQUEST_BURST_S, now)
        tokens = stated.tokens_per_minute
        if tokens and (self.token_bucket is None or self.token_bucket.is_above(tokens)):
            self.token_bucket = Bucket(tokens, _TOKEN_BURST_S, now)
        if stated.hold_s:
            self.concurrency.pause(stated.hold_s, now)

    def _grant(self, wants: list[Amount], actor: ActorState, now: float) -> tuple[int, float]:
        """Reserve for as many of `wants` as may go now; return their number, and when to ask for more (seconds)."""
        granted = 0
        for most in wants:
            if self._awaits_first_call():
                return granted, POLL_S
            if self.request_bucket and not self.request_bucket.has(1.0, now):
                return granted, self.request_bucket.wait_s(1.0)
            if self.token_bucket and not self.token_bucket.has(1.0, now):
                return granted, self.token_bucket.wait_s(1.0)
            exceeded = budget.exceeded(self.limits, self.spent, self.reserved, most)
            if exceeded:
                if self.reserved.tokens <= 0:  # nothing in flight that could give something back
                    self.drain(exceeded)
                return granted, POLL_S
            if self.request_bucket:
                self.request_bucket.level -= 1
            if self.token_bucket:
                self.token_bucket.level -= most.tokens
            actor.reserved = actor.reserved.plus(most)
            granted += 1
        return granted, POLL_S

    def _awaits_first_call(self) -> bool:
        """Return True if a budget waits for the first call to come home, which shows how this server counts."""
        return self.limits.has_budget and not self._is_first_call_over and self.reserved.tokens > 0


def _bucket(per_minute: float | None, burst_s: float, now: float) -> Bucket | None:
    return Bucket(per_minute, burst_s, now) if per_minute else None

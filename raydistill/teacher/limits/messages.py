"""What the governor and the actors that send requests tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from raydistill.runtime.errors import LimitKind
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.tokens import TokenRatios

StopKind = Literal[
    "budget",  # the next call could exceed it
    "journal",  # answers cannot be kept
    "fatal",  # the endpoint rejects every call
    "hopeless",  # no call has succeeded for a while
    "failures",  # more rows failed than may
    "parameter",  # the model rejects a parameter, and requests have to be made anew
    "interrupt",  # Ctrl-C or SIGTERM
    "unreachable",  # the governor has died
]


class RateLimits(NamedTuple):
    """Limits that a server states in its `x-ratelimit-*` headers; None if it does not."""

    requests_per_minute: float | None
    tokens_per_minute: float | None
    hold_s: float  # nothing is left: seconds until one more request fits


@dataclass(frozen=True)
class Limits:
    """What all actors of a stage together may do."""

    max_concurrency: int
    """Most calls in flight."""
    min_concurrency: int = 1
    """Fewest that the adaptive limit goes down to."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    usd: float | None = None
    """What may still be spent."""
    tokens: int | None = None
    """What may still be used, prompt and completion together."""
    on_budget: Literal["stop_stage", "fail_rows"] = "stop_stage"
    """What happens when `usd` or `tokens` is used up: the stage ends, or just the rows that are left fail."""
    max_failed: int | None = None
    """How many rows may fail before the stage ends; None for any number."""

    @property
    def has_budget(self) -> bool:
        """True if money or tokens are limited."""
        return self.usd is not None or self.tokens is not None


@dataclass(frozen=True)
class StopReason:
    """Why nobody sends any more."""

    kind: StopKind
    message: str = ""
    hint: str = ""
    """What to do about it, if the message does not say."""
    limit: LimitKind | None = None
    """Which budget is used up."""
    parameter: str = ""
    """What the model rejects, as `Endpoint.refuses` names it."""
    is_guess: bool = False
    """That was read out of an error's text: the server named no parameter."""


@dataclass
class Report:
    """An actor's state, and what happened since its last report."""

    actor: str
    in_flight: int = 0
    waiting: int = 0
    wants: list[Amount] = field(default_factory=list)
    """The most that each of the next calls may take."""
    settled: Amount = NOTHING
    """Reservations of the calls that are over."""
    spent: Amount = NOTHING
    """What those calls really took."""
    successes: int = 0
    """Calls that were answered."""
    failures: dict[str, int] = field(default_factory=dict)
    """Attempts that were not, by the error's message."""
    failing_since_s: float = 0.0
    """How long ago the first of those attempts was sent."""
    oldest_s: float | None = None
    """How long ago the oldest call in flight was sent; None without one."""
    throttled: float | None = None
    """A call met a rate limit (HTTP 429): seconds that the server asks to wait, 0 if it does not say."""
    rate_limits: RateLimits | None = None
    ratios: TokenRatios = field(default_factory=TokenRatios)
    """What this actor's replies have stated."""
    stop: StopReason | None = None
    """Nobody shall send any more."""
    counts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """What an actor may do until its next report."""

    slots: int
    """Calls in flight that it may have."""
    permits: int
    """How many of its `wants` may go."""
    unlimited: bool
    """No permits are needed: only the calls in flight are limited."""
    pause_s: float
    again_s: float
    """When to ask for more."""
    ratios: TokenRatios
    """What all actors' replies have stated."""
    stop: StopReason | None


class Snapshot(NamedTuple):
    """A stage's state, for its progress line and its end."""

    counts: Mapping[str, float]
    spent: Amount
    in_flight: int
    concurrency: int
    """Most calls in flight at this moment (adaptive)."""
    paused_s: float
    stop: StopReason | None

    def count(self, name: str) -> int:
        """Return how often `name` was counted."""
        return int(self.counts.get(name, 0))

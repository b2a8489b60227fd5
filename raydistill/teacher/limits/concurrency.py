"""How many calls may be in flight: an adaptive limit, divided fairly among the actors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from raydistill.teacher.limits.amount import NOTHING, Amount

RECOVER_S = 30.0  # from the lowest limit back to the highest
CALM_S = 1.0  # a burst of rejected calls ends after so long
DEFAULT_PAUSE_S = 1.0  # after a rejected call whose server does not say how long to wait


@dataclass
class ActorState:
    """What the governor knows of an actor."""

    in_flight: int = 0
    demand: int = 0  # calls in flight and waiting
    slots: int = 0  # calls in flight that it was granted
    last_report: float = 0.0
    reserved: Amount = NOTHING  # what its calls in flight may take
    oldest_sent: float | None = None  # when the oldest of its calls in flight was sent


class Concurrency:
    """The adaptive limit: halved by a rate limit (HTTP 429), then growing back steadily."""

    def __init__(self, lowest: int, highest: int, now: float) -> None:
        self.lowest = lowest
        self.highest = highest
        self.limit = float(highest)
        self.paused_until = now
        self._calm_from = now  # later rejections do not belong to an earlier burst
        self._updated = now

    def pause(self, seconds: float, now: float) -> None:
        """Let nobody send for `seconds`."""
        self.paused_until = max(self.paused_until, now + seconds)

    def throttle(self, retry_after_s: float, now: float) -> None:
        """Take in that a call met a rate limit; a burst of such calls lowers the limit once."""
        self.pause(retry_after_s or DEFAULT_PAUSE_S, now)
        if now >= self._calm_from:
            self.limit = max(float(self.lowest), self.limit / 2)
        self._calm_from = max(self.paused_until, now + CALM_S)
        self._updated = now

    def grow(self, now: float) -> None:
        """Raise the limit by the calm time that has passed."""
        if now >= self._calm_from:
            calm_s = max(0.0, now - max(self._updated, self._calm_from))
            grown = self.limit + calm_s * self.highest / RECOVER_S
            self.limit = min(float(self.highest), grown)
        self._updated = now


def slots(limit: int, own: ActorState, actors: Collection[ActorState]) -> int:
    """Return how many of `limit` calls in flight actor `own` may have: max-min fair, only what the others leave free.

    Args:
        limit: calls in flight over all actors.
        own: the actor that asks.
        actors: all actors, `own` among them.
    """
    free = limit
    fair = 0
    by_demand = sorted(actors, key=lambda actor: actor.demand)
    for served, actor in enumerate(by_demand):
        part = min(actor.demand, free // (len(by_demand) - served))
        free -= part
        if actor is own:
            fair = part
    used_by_others = sum(max(actor.slots, actor.in_flight) for actor in actors if actor is not own)
    wish = fair + free // len(actors)
    return max(0, min(wish, limit - used_by_others))

"""A token bucket: a steady allowance with small bursts."""

from __future__ import annotations

SAFETY = 0.98  # of a stated limit: clocks and networks jitter, and a rejected call costs more than the 2 %


class Bucket:
    """A steady allowance. It may go into debt for one large call, which is then waited off.

    Attributes:
        rate: units a second.
        burst: most units that gather while nobody takes any.
        level: units that are there now; below zero while a debt is waited off.
    """

    def __init__(self, per_minute: float, burst_s: float, now: float) -> None:
        self.rate = per_minute / 60 * SAFETY
        self.burst = max(1.0, self.rate * burst_s)
        self.level = 1.0
        self._updated = now

    def has(self, amount: float, now: float) -> bool:
        """Return True if `amount` units are there at time `now` (seconds)."""
        refilled = self.level + (now - self._updated) * self.rate
        self.level = min(max(self.burst, self.level), refilled)
        self._updated = now
        return self.level >= amount

    def wait_s(self, amount: float) -> float:
        """Return the seconds until `amount` units will be there."""
        return max(0.0, (amount - self.level) / self.rate)

    def is_above(self, per_minute: float) -> bool:
        """Return True if this allowance is larger than one of `per_minute`."""
        return per_minute / 60 * SAFETY < self.rate * 0.999

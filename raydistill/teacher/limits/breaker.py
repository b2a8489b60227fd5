"""End a stage whose calls all fail: nobody should wait for hours on a server that is gone, or on a quota of a day.

One rule: no call was answered for HOPELESS_ATTEMPTS attempts and HOPELESS_S seconds (RATE_WINDOW_S if there was a rate
limit among them, and the longest pause that the server asked for), and no call is still out that was sent with the
first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from raydistill.teacher.limits.messages import StopReason

HOPELESS_ATTEMPTS = 20
HOPELESS_S = 30.0
RATE_WINDOW_S = 50.0  # many rate limits count by the minute
LONGEST_PAUSE_S = 600.0  # that a server may ask for (Retry-After): a longer one is a quota, not a rate
SAME_MOMENT_S = 1.0  # calls sent so close together are of one wave
KINDS_OF_MESSAGE = 50  # that are counted


class Breaker:
    """Counts the attempts that failed since the last answer. Times are seconds of the governor's clock."""

    def __init__(self) -> None:
        self._attempts = 0
        self._first_sent = 0.0
        self._is_rate_limited = False
        self._pause_s = 0.0  # longest that was asked for
        self._messages: Counter[str] = Counter()

    def answered(self) -> None:
        """Begin anew: a call was answered."""
        self._attempts = 0
        self._is_rate_limited = False
        self._pause_s = 0.0
        self._messages.clear()

    def failed(self, failures: Mapping[str, int], since_s: float, now: float) -> None:
        """Take in attempts that failed, by message; the first of them was sent `since_s` seconds ago."""
        if failures and not self._attempts:
            self._first_sent = now - since_s
        for message, count in failures.items():
            self._attempts += count
            if message in self._messages or len(self._messages) < KINDS_OF_MESSAGE:
                self._messages[message] += count

    def rate_limited(self, pause_s: float) -> None:
        """Take in that a call met a rate limit, with the pause that the server asked for; 0 if it did not say."""
        self._is_rate_limited = True
        self._pause_s = max(self._pause_s, pause_s)

    def reason(self, oldest_sent: float | None, now: float) -> StopReason | None:
        """Return why the stage should end; None while there is hope.

        Args:
            oldest_sent: when the oldest call in flight was sent; None without one.
            now: the time.
        """
        patience_s = RATE_WINDOW_S if self._is_rate_limited else HOPELESS_S
        if self._attempts < HOPELESS_ATTEMPTS or now - self._first_sent < patience_s + self._pause_s:
            return None
        if oldest_sent is not None and oldest_sent < self._first_sent + SAME_MOMENT_S:
            return None  # it may yet be answered
        seconds = now - self._first_sent
        message = f"no call was answered for {seconds:.0f} s, {self._attempts} failed: {self.commonest}"
        return StopReason("hopeless", message)

    @property
    def commonest(self) -> str:
        """The commonest message; "" if there is none."""
        for message, _ in self._messages.most_common(1):
            return message
        return ""

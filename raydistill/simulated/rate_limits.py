"""Rate limits on requests and tokens, enforced and announced in headers as OpenAI does."""

from __future__ import annotations

import math
import time

from raydistill.config import SimulatedSettings
from raydistill.simulated.error_reply import RATE_LIMITED, ErrorReply


class Bucket:
    """A limit of `per_minute`: a full minute's worth at once, refilled steadily."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.remaining = float(per_minute)
        self.refilled_at = time.monotonic()

    def take(self, amount: int) -> float:
        """Take `amount` and return 0.0, or return the seconds until there is enough (inf: never)."""
        self._refill()
        if amount <= self.remaining:
            self.remaining -= amount
            return 0.0
        if amount > self.per_minute:
            return math.inf
        return self._seconds_to_refill(amount - self.remaining)

    def headers(self, name: str) -> dict[str, str]:
        """Return the x-ratelimit headers; `name` is what is limited."""
        reset_s = self._seconds_to_refill(self.per_minute - self.remaining)
        return {
            f"x-ratelimit-limit-{name}": str(self.per_minute),
            f"x-ratelimit-remaining-{name}": str(int(self.remaining)),
            f"x-ratelimit-reset-{name}": f"{reset_s:.3f}s",
        }

    def _refill(self) -> None:
        now = time.monotonic()
        refill = (now - self.refilled_at) * self.per_minute / 60
        self.remaining = min(self.per_minute, self.remaining + refill)
        self.refilled_at = now

    def _seconds_to_refill(self, amount: float) -> float:
        return amount * 60 / self.per_minute


class RateLimits:
    """The limits that are set, by name: "requests", "tokens"."""

    def __init__(self, settings: SimulatedSettings) -> None:
        self.buckets: dict[str, Bucket] = {}
        if settings.requests_per_minute:
            self.buckets["requests"] = Bucket(settings.requests_per_minute)
        if settings.tokens_per_minute:
            self.buckets["tokens"] = Bucket(settings.tokens_per_minute)

    def take(self, tokens: int) -> None:
        """Take one request with its tokens; raises ErrorReply (429) if a limit does not allow it."""
        amounts = {"requests": 1, "tokens": tokens}
        for name, bucket in self.buckets.items():
            wait_s = bucket.take(amounts[name])
            if wait_s:
                self._give_back_request(rejected_by=name)
                raise _rejection(name, bucket.per_minute, wait_s, tokens)

    def headers(self) -> dict[str, str]:
        """Return the x-ratelimit headers of all limits."""
        headers: dict[str, str] = {}
        for name, bucket in self.buckets.items():
            headers.update(bucket.headers(name))
        return headers

    def _give_back_request(self, rejected_by: str) -> None:
        if rejected_by == "tokens" and "requests" in self.buckets:
            self.buckets["requests"].remaining += 1


def _rejection(name: str, per_minute: int, wait_s: float, tokens: int) -> ErrorReply:
    code = "rate_limit_exceeded"
    if wait_s == math.inf:
        message = f"Request too large: limit {per_minute} {name} per min, requested {tokens}."
        return ErrorReply(RATE_LIMITED, message, code)
    message = f"Rate limit reached on {name} per min. Please try again in {wait_s:.3f}s."
    headers = {"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(int(wait_s * 1000) + 1)}
    return ErrorReply(RATE_LIMITED, message, code, headers)

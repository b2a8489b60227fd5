"""Read the rate limits that OpenAI's endpoints state in `x-ratelimit-*` headers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from raydistill.teacher.api import retries
from raydistill.teacher.limits.messages import RateLimits


def read(headers: Mapping[str, str]) -> RateLimits | None:
    """Read the limits; None if neither is there."""
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return None
    requests = _number(headers, "limit-requests")
    tokens = _number(headers, "limit-tokens")
    hold_s = 0.0
    # `reset` is when the whole allowance is back; on a steady refill one request fits after its part of that.
    if requests:
        hold_s = _reset_s(headers, "requests") / requests
    if tokens:
        hold_s = max(hold_s, min(_reset_s(headers, "tokens"), 1.0))
    return RateLimits(requests or None, tokens or None, hold_s)


def _reset_s(headers: Mapping[str, str], resource: str) -> float:
    """Return the seconds until the allowance of `resource` is back; 0 if some of it is left."""
    remaining = _number(headers, f"remaining-{resource}")
    if remaining is None or remaining > 0:
        return 0.0
    return retries.duration(headers.get(f"x-ratelimit-reset-{resource}", "")) or 0.0


def _number(headers: Mapping[str, str], name: str) -> float | None:
    """Return a number that is finite and not negative; None if it is none."""
    try:
        number = float(headers[f"x-ratelimit-{name}"])
    except (KeyError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None

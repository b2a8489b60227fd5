"""How long to wait before another attempt."""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Mapping

from raydistill.teacher.api.errors import CallError

LONGEST_WAIT_S = 60.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def backoff(attempt: int, first_s: float, error: CallError) -> float:
    """Return the seconds to wait after attempt number `attempt`: exponential with jitter, never less than asked."""
    ceiling = min(LONGEST_WAIT_S, first_s * 2 ** (attempt - 1))
    wait_s = random.uniform(0.5, 1.0) * ceiling
    return max(wait_s, error.retry_after or 0.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait; None if it does not.

    Args:
        headers: Of the reply: `retry-after-ms` (OpenAI's), or `retry-after` in seconds or as a date (RFC 9110).
    """
    try:
        milliseconds = headers.get("retry-after-ms")
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            return float(value)
        date = email.utils.parsedate_to_datetime(value)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def duration(text: str) -> float | None:
    """Return the seconds of a duration such as "6m0s", "12ms" or "1.5"; None if it is none."""
    parts = _DURATION.findall(text)
    if parts:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        return None

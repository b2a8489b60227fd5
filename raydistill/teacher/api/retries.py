"""How long to wait before another attempt."""

from __future__ import annotations

import datetime
import email.utils
import math
import random
import re
import time
from collections.abc import Mapping

from raydistill.teacher.api.errors import CallError
from raydistill.teacher.limits.breaker import LONGEST_PAUSE_S

LONGEST_WAIT_S = 60.0
MOST_ASKED_S = 366 * 86400.0
"""Whatever a server asks for is no longer than this: an infinite wait could not be added to a time."""

_SECONDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:,|$)")  # several headers arrive as one, with commas
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def backoff(attempt: int, first_s: float, error: CallError) -> float:
    """Return the seconds that one call waits after its attempt number `attempt`: exponential, with jitter.

    It is no less than the server asks, but at most `LONGEST_WAIT_S`: longer waits are the governor's, for all calls.
    What nobody would wait for (a day) is overlooked: the next call may be answered all the same.
    """
    ceiling = min(LONGEST_WAIT_S, first_s * 2 ** min(attempt - 1, 64))
    wait_s = random.uniform(0.5, 1.0) * ceiling
    asked_s = error.retry_after or 0.0
    if asked_s > LONGEST_PAUSE_S:
        return wait_s
    return min(LONGEST_WAIT_S, max(wait_s, asked_s))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, at most `MOST_ASKED_S`; None if it does not.

    Args:
        headers: Of the reply: `retry-after-ms` (OpenAI's), or `retry-after` in seconds or as a date (RFC 9110), which
            counts from the reply's own `date`: the clocks of server and client may differ.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _asked(milliseconds / 1000)
    value = headers.get("retry-after", "")
    seconds = _SECONDS.match(value)
    if seconds:
        return _asked(float(seconds[1]))
    date = _timestamp(value)
    if date is None:
        return None
    now = _timestamp(headers.get("date", ""))
    return _asked(date - (time.time() if now is None else now))


def duration(text: str) -> float | None:
    """Return the seconds of a duration such as "6m0s", "12ms" or "1.5", at most `MOST_ASKED_S`; None if it is none."""
    parts = _DURATION.findall(text)
    if parts:
        return _asked(sum(float(number) * _UNITS[unit] for number, unit in parts))
    seconds = _number(text)
    return None if seconds is None else _asked(seconds)


def _asked(seconds: float) -> float:
    return min(MOST_ASKED_S, max(0.0, seconds))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _timestamp(text: str) -> float | None:
    """Return the seconds since 1970 of a date in a header; None if it is none."""
    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:  # "-0000"
            date = date.replace(tzinfo=datetime.UTC)
        return date.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

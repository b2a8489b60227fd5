"""Figures as text, the same wherever a person reads them: terminal, page, log, error."""

from __future__ import annotations


def dollars(usd: float | None) -> str:
    """Format USD with four decimals below one dollar and two above: "$0.0123", "$4.20". None: the price is unknown."""
    if usd is None:
        return "price unknown"
    decimals = 4 if 0 < usd < 1 else 2
    return f"${usd:,.{decimals}f}"


def duration(seconds: float) -> str:
    """Format seconds as "40 s", "12 min" or "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Format 0.973 as "97.3 %"; a dash if there is no figure."""
    if fraction is None:
        return "–"
    return f"{100 * fraction:.{digits}f} %"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its type's name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def last_line(error: BaseException) -> str:
    """Return the last line with text: of an error that Ray wraps in a stack trace, the error itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

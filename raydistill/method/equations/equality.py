"""Are two sides of an equation equal, up to the rounding that their digits show?"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from raydistill.method.equations.expressions import Value

MEASURES = {
    *"second minute hour day week fortnight month year decade century cent penny nickel dime quarter dollar".split(),
    *"euro pound inch foot yard mile millimeter centimeter meter kilometer mm cm m km g gram kg kilogram oz".split(),
    *"ounce lb ton ml liter litre l gallon quart pint cup pair".split(),
}
"""Units that convert into each other, singular."""

_SINGULAR = {
    **{"$": "dollar", "€": "euro", "£": "pound", "¢": "cent", "pennies": "penny", "centuries": "century"},
    **{"feet": "foot", "ft": "foot", "inches": "inch", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute"},
    **{"sec": "second", "secs": "second", "lbs": "lb"},
}
_CALENDAR = {"day", "week", "month", "year"}


def unit(word: str) -> str:
    """Return a unit in the singular."""
    if word in _SINGULAR:
        return _SINGULAR[word]
    return word if word in MEASURES else word.rstrip("s")


def equal(left: Value, right: Value, *, approximate: bool) -> bool | None:
    """Return whether the sides are equal in some reading; None if their units do not allow to say."""
    pairs = list(product(left.readings, right.readings))
    for x, y in pairs:
        if _close(x, y, left, right, approximate):
            return True
    units = {unit(word) for word in left.units | right.units}
    # "2 hours - 30 minutes = 90 minutes": right, but not as plain numbers. "in" is no unit in "8 in all".
    mixes_units = len(units & MEASURES) > 1 or {"foot", "in"} <= units or bool(units & {"am", "pm"})
    is_date = bool(units & _CALENDAR) and (left.divides or right.divides)  # "9/7 - 1 day = 9/6"
    counts_quarters = "quarter" in units and any(4 * x == y for x, y in pairs)
    if mixes_units or is_date or counts_quarters:
        return None
    return False


def _close(x: Fraction, y: Fraction, left: Value, right: Value, approximate: bool) -> bool:
    """Return True if `x` is `y`, or differs by no more than rounding."""
    if x == y:
        return True
    slack = left.last_places + right.last_places
    decimals = right.literal_decimals
    if decimals is not None and (x * 10**decimals).denominator != 1:
        slack += Fraction(1, 10**decimals)  # rounded or cut to the digits shown
    if left.rounded or right.rounded:
        slack = max(slack, abs(x) / 500)
    if approximate:
        slack = max(slack, abs(x) / 20, Fraction(1))
    return abs(x - y) < slack

"""Numbers in words."""

from __future__ import annotations

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(value: int) -> str:
    """Return 43 as "forty-three"; figures from a hundred on."""
    if value >= 100:
        return str(value)
    if value < 20:
        return _SMALL[value]
    tens = _TENS[value // 10 - 2]
    units = value % 10
    return f"{tens}-{_SMALL[units]}" if units else tens

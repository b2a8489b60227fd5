"""Axes of charts: where values lie on them, and what is written beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Tick(NamedTuple):
    """A mark on an axis."""

    place: float
    """On its axis, 0 … 1."""
    text: str


def fraction_ticks(low: float) -> list[Tick]:
    """Return five ticks in per cent for an axis of fractions from `low` to 1."""
    ticks = []
    for place in QUARTERS:
        value = low + (1 - low) * place
        ticks.append(Tick(place, f"{100 * value:.0f}"))
    return ticks


def value_ticks(top: float) -> list[Tick]:
    """Return five ticks for an axis of any values from 0 to `top`."""
    return [Tick(place, f"{top * place:.3g}") for place in QUARTERS]


def epoch_ticks(last: int) -> list[Tick]:
    """Return at most nine ticks for epochs 1 to `last`."""
    every = math.ceil(last / 8)
    span = max(1, last - 1)
    ticks = []
    for epoch in range(1, last + 1):
        if epoch == 1 or epoch % every == 0:
            ticks.append(Tick((epoch - 1) / span, str(epoch)))
    return ticks


def floor(fractions: Iterable[float]) -> float:
    """Return where an axis of fractions may begin: at a fifth, below all of them."""
    lowest = min(fractions, default=0.0)
    fifth_below = math.floor(5 * (lowest - 0.01)) / 5
    return max(0.0, min(0.8, fifth_below))


def round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 8 × a power of ten: its quarters are short numbers."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power: float = 10 ** math.floor(math.log10(value))
    for step in (1, 2, 4, 5, 8):
        if step * power >= value * (1 - 1e-9):
            return step * power
    return 10 * power


def per_cent_of_axis(fraction: float, low: float) -> float:
    """Return the place of `fraction` on an axis from `low` to 1, in per cent of its length."""
    return round(100 * (fraction - low) / (1 - low), 1)

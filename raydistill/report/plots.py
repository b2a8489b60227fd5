"""The report's charts as small pieces of HTML and SVG; colours and fonts are the page's (style.css), light and dark.

Drawn here and not by a plotting library: a paper-size grid has 150 charts, which took one 17 s and made a page of 7 MB.

How a chart is added: write a function here that takes typed rows and returns `Markup` (text goes in by `Markup.format`,
which escapes it), and add a `Chart` with it to the `charts` of a section (`sections/<section>.py`). The section's
template shows all of them; no template is touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from raydistill.report import axes, palette
from raydistill.report.axes import Tick

CLUSTER_COLOURS = 8  # then they repeat, as squares
WIDTH = 880  # of an SVG in its own units, two to a pixel: coordinates are whole numbers
HEIGHT = 480
LEFT = 84  # room around the axes
RIGHT = 40
TOP = 16
BOTTOM = 88
MARKS = 10  # at most, on one line
MAP_HEIGHT = 640
MAP_MARGIN = 30
MAP_GRID = 4  # points of one cluster in one cell of so many units are drawn once


class Bar(NamedTuple):
    """An accuracy with its interval, as fractions 0 … 1; None if it failed."""

    label: str
    method: str
    """For the colour."""
    accuracy: float | None
    ci_low: float | None
    ci_high: float | None
    heading: str = ""
    """Written above the first of the bars that share it; "": nothing."""


class Line(NamedTuple):
    """A line of a chart."""

    label: str
    """For the legend; the same for all seeds of a training."""
    method: str
    """For the colour."""
    degree: int
    """For the marks: round ones for 1, square ones above."""
    dashed: bool
    points: Sequence[tuple[float, float]]
    ring: tuple[float, float] | None = None
    """A point to mark."""


class MapPoint(NamedTuple):
    """A question on the map of its task."""

    question_id: str
    cluster: int
    x: float
    y: float


def bars(rows: Sequence[Bar], *, dots: bool = False, chance: float | None = None) -> Markup:
    """Draw accuracies with their intervals, one below the other.

    Args:
        rows: what is drawn, from top to bottom.
        dots: draw dots rather than bars, on an axis that need not begin at 0.
        chance: accuracy of guessing, drawn as a dashed line.
    """
    low = 0.0
    if dots:
        low = axes.floor(row.ci_low for row in rows if row.ci_low is not None)
    guess = Markup()
    drawn = []
    if chance is not None:
        place = axes.per_cent_of_axis(chance, low)
        guess = Markup('<u style="left:{}%"></u>').format(place)
        drawn.append(_bar_row("", Markup('<em style="left:{}%">guessing</em>').format(place), "scale"))
    heading = ""
    for row in rows:
        if row.heading != heading:
            heading = row.heading
            drawn.append(Markup('<div class="heading">{}</div>').format(heading))
        drawn.append(_bar_row(row.label, guess + _bar(row, low, dots), "track", _bar_value(row)))
    ticks = Markup()
    for tick in axes.fraction_ticks(low):
        ticks += Markup('<em style="left:{}%">{}</em>').format(100 * tick.place, tick.text)
    drawn.append(_bar_row("", ticks, "scale"))
    return Markup('<div class="bars">{}</div>').format(Markup().join(drawn))


def _bar_row(label: str, track: Markup, kind: str, value: Markup | str = "") -> Markup:
    text = '<div class="bar"><span>{}</span><span class="{}">{}</span><span>{}</span></div>'
    return Markup(text).format(label, kind, track, value)


def _bar(row: Bar, low: float, dots: bool) -> Markup:
    if row.accuracy is None or row.ci_low is None or row.ci_high is None:
        return Markup()
    end = axes.per_cent_of_axis(row.accuracy, low)
    interval_start = axes.per_cent_of_axis(row.ci_low, low)
    interval_width = round(axes.per_cent_of_axis(row.ci_high, low) - interval_start, 1)
    kind = "dot" if dots else "fill"
    place = f"left:{end}%" if dots else f"width:{end}%"
    mark = Markup('<i class="{}" style="{};background:{}"></i>').format(kind, place, palette.of_method(row.method))
    return mark + Markup('<b style="left:{}%;width:{}%"></b>').format(interval_start, interval_width)


def _bar_value(row: Bar) -> Markup:
    if row.accuracy is None:
        return Markup("<small>failed</small>")
    return Markup("<strong>{}</strong>").format(f"{100 * row.accuracy:.1f}")


def curves(lines: Sequence[Line], title: str, *, fractions: bool = False) -> Markup:
    """Draw a figure by epoch, one line per trial and kind.

    Args:
        lines: points are (epoch, value).
        title: for readers that cannot see it.
        fractions: values are fractions 0 … 1, shown in per cent.
    """
    last = 1
    highest = 0.0
    for line in lines:
        last = max(last, *(int(epoch) for epoch, _ in line.points))
        highest = max(highest, *(value for _, value in line.points))
    top = 1.0 if fractions else axes.round_up(highest)
    span = max(1, last - 1)
    scaled = []
    for line in lines:
        points = [((epoch - 1) / span, value / top) for epoch, value in line.points]
        scaled.append(line._replace(points=points))
    heights = axes.fraction_ticks(0.0) if fractions else axes.value_ticks(top)
    return _chart(scaled, title, axes.epoch_ticks(last), heights, "epoch")


def cascades(lines: Sequence[Line], title: str) -> Markup:
    """Draw the accuracy of student and teacher together against the fraction of questions that go to the teacher.

    Args:
        lines: points are (fraction, accuracy); the ring is the chosen threshold.
        title: for readers that cannot see it.
    """
    accuracies: list[float] = []
    for line in lines:
        accuracies += [accuracy for _, accuracy in line.points]
        if line.ring:
            accuracies.append(line.ring[1])
    low = axes.floor(accuracies)
    scaled = []
    for line in lines:
        points = [(fraction, (accuracy - low) / (1 - low)) for fraction, accuracy in line.points]
        ring = None
        if line.ring:
            ring = (line.ring[0], (line.ring[1] - low) / (1 - low))
        scaled.append(line._replace(points=points, ring=ring))
    fractions = [Tick(tick.place, f"{tick.text} %") for tick in axes.fraction_ticks(0.0)]
    below = "share of the questions that go to the teacher"
    return _chart(scaled, title, fractions, axes.fraction_ticks(low), below, ends_only=True)


def clusters(points: Sequence[MapPoint], exemplars: Mapping[str, int], title: str) -> Markup:
    """Draw the questions of a task by their first two principal components, coloured by cluster, exemplars numbered.

    Args:
        points: the questions, at least one.
        exemplars: question_id of an exemplar -> its cluster, written beside it.
        title: for readers that cannot see it.
    """
    left = min(point.x for point in points)
    lowest = min(point.y for point in points)
    width = max(point.x for point in points) - left or 1.0
    height = max(point.y for point in points) - lowest or 1.0

    def place(point: MapPoint) -> tuple[int, int]:
        x = (point.x - left) / width
        y = (point.y - lowest) / height
        return (
            round(MAP_MARGIN + x * (WIDTH - 2 * MAP_MARGIN)),
            round(MAP_MARGIN + (1 - y) * (MAP_HEIGHT - 2 * MAP_MARGIN)),
        )

    cells: dict[int, dict[tuple[int, int], None]] = {}
    for point in points:
        x, y = place(point)
        cells.setdefault(point.cluster, {})[x - x % MAP_GRID, y - y % MAP_GRID] = None
    drawn = []
    for cluster in sorted(cells):
        shape = " square" if cluster >= CLUSTER_COLOURS else ""
        path = Markup('<path class="points{}" style="stroke:var(--k{})" d="{}"/>')
        drawn.append(path.format(shape, cluster % CLUSTER_COLOURS, _dots(cells[cluster])))
    circle = '<circle cx="{x}" cy="{y}" r="24" style="stroke:var(--k{})"/><text class="x" x="{x}" y="{y}">{}</text>'
    for point in points:
        if point.question_id in exemplars:
            x, y = place(point)
            number = exemplars[point.question_id]
            drawn.append(Markup(circle).format(point.cluster % CLUSTER_COLOURS, number, x=x, y=y))
    return _svg(drawn, MAP_HEIGHT, title)


def _chart(
    lines: Sequence[Line],
    title: str,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    x_label: str,
    *,
    ends_only: bool = False,
) -> Markup:
    """Draw lines, whose points lie in 0 … 1, over axes with a legend; `ends_only`: with marks at their ends alone."""
    drawn = [_grid(x_ticks, y_ticks, x_label)]
    legend: dict[str, Markup] = {}
    for line in lines:
        drawn.append(_line(line, ends_only))
        shape = "square" if line.degree > 1 else ""
        entry = Markup('<li><i class="{}" style="background:{}"></i>{}</li>')
        legend[line.label] = entry.format(shape, palette.of_method(line.method), line.label)
    return _svg(drawn, HEIGHT, title) + Markup('<ul class="legend">{}</ul>').format(Markup().join(legend.values()))


def _grid(x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], x_label: str) -> Markup:
    drawn = Markup()
    for tick in y_ticks:
        _, y = _on_axes((0, tick.place))
        mark = '<path class="grid" d="M{} {y}H{}"/><text class="y" x="{}" y="{y}">{}</text>'
        drawn += Markup(mark).format(LEFT, WIDTH - RIGHT, LEFT - 12, tick.text, y=y)
    text = Markup('<text class="x" x="{}" y="{}">{}</text>')
    for tick in x_ticks:
        x, y = _on_axes((tick.place, 0))
        drawn += text.format(x, y + 38, tick.text)
    middle = (LEFT + WIDTH - RIGHT) // 2
    return drawn + text.format(middle, HEIGHT - 12, x_label)


def _line(line: Line, ends_only: bool) -> Markup:
    places = [_on_axes(point) for point in line.points]
    marked = places[:: math.ceil(len(places) / MARKS)]
    if ends_only:
        marked = [places[0], places[-1]]
    stroke = Markup('style="stroke:{}"').format(palette.of_method(line.method))
    through = "L".join(f"{x} {y}" for x, y in places)
    dashed = " dashed" if line.dashed else ""
    shape = " square" if line.degree > 1 else ""
    drawn = Markup('<path class="line{}" {} d="M{}"/>').format(dashed, stroke, through)
    drawn += Markup('<path class="marks{}" {} d="{}"/>').format(shape, stroke, _dots(marked))
    if line.ring:
        x, y = _on_axes(line.ring)
        drawn += Markup('<circle class="ring" {} cx="{}" cy="{}" r="15"/>').format(stroke, x, y)
    return drawn


def _on_axes(point: tuple[float, float]) -> tuple[int, int]:
    x, y = point
    return round(LEFT + x * (WIDTH - LEFT - RIGHT)), round(HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM))


def _dots(places: Iterable[tuple[int, int]]) -> str:
    """Return a path of strokes without length, which its line caps make round or square marks."""
    return "".join(f"M{x} {y}h0" for x, y in places)


def _svg(parts: Iterable[Markup], height: int, title: str) -> Markup:
    svg = '<svg role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>'
    return Markup(svg).format(title, WIDTH, height, Markup().join(parts))

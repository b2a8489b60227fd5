"""The report's charts as small pieces of HTML and SVG; colours and fonts are the page's (style.css), light and dark.

Drawn here and not by a plotting library: a paper-size grid has 150 charts, which took one 17 s and made a page of 7 MB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from raydistill.report import labels

CLUSTER_COLOURS = 8  # then they repeat, as squares
WIDTH, HEIGHT = 880, 480  # of an SVG in its own units, two to a pixel: coordinates are whole numbers
LEFT, RIGHT, TOP, BOTTOM = 84, 40, 16, 88  # room around the axes
MARKS = 10  # at most, on one line
MAP_HEIGHT = 640
MAP_GRID = 4  # points of one cluster in one cell of so many units are drawn once

Tick = tuple[float, str]  # place on its axis, 0 … 1, and what is written there


def colour(method: str) -> str:
    return f"var(--m-{method})" if method in labels.METHODS else "var(--other)"


def bars(rows: Sequence[dict[str, Any]], *, dots: bool = False, chance: float | None = None) -> Markup:
    """Accuracies with their intervals, one below the other.

    Args:
        rows: label, method (colour), accuracy (None: failed), ci_low, ci_high (shares 0 … 1), and heading, written
            above the first of the rows that share it ("": nothing).
        dots: dots rather than bars, on an axis that need not begin at 0.
        chance: accuracy of guessing, drawn as a dashed line.
    """
    low = _floor(row["ci_low"] for row in rows if row["accuracy"] is not None) if dots else 0.0
    guess, heading, drawn = Markup(), "", []
    if chance is not None:
        guess = Markup('<u style="left:{}%"></u>').format(_percent(chance, low))
        drawn.append(_row("", Markup('<em style="left:{}%">guessing</em>').format(_percent(chance, low)), "scale"))
    for row in rows:
        if row["heading"] != heading:
            heading = row["heading"]
            drawn.append(Markup('<div class="heading">{}</div>').format(heading))
        drawn.append(_row(row["label"], guess + _bar(row, low, dots), "track", _value(row)))
    ticks = (Markup('<em style="left:{}%">{}</em>').format(100 * at, text) for at, text in _share_ticks(low))
    drawn.append(_row("", Markup().join(ticks), "scale"))
    return Markup('<div class="bars">{}</div>').format(Markup().join(drawn))


def _row(label: str, track: Markup, kind: str, value: Markup | str = "") -> Markup:
    text = '<div class="bar"><span>{}</span><span class="{}">{}</span><span>{}</span></div>'
    return Markup(text).format(label, kind, track, value)


def _bar(row: dict[str, Any], low: float, dots: bool) -> Markup:
    if row["accuracy"] is None:
        return Markup()
    at, start, end = (_percent(row[name], low) for name in ("accuracy", "ci_low", "ci_high"))
    place = f"left:{at}%" if dots else f"width:{at}%"
    mark = Markup('<i class="{}" style="{};background:{}"></i>')
    interval = Markup('<b style="left:{}%;width:{}%"></b>').format(start, round(end - start, 1))
    return mark.format("dot" if dots else "fill", place, colour(row["method"])) + interval


def _value(row: dict[str, Any]) -> Markup:
    if row["accuracy"] is None:
        return Markup("<small>failed</small>")
    return Markup("<strong>{}</strong>").format(f"{100 * row['accuracy']:.1f}")


def _percent(share: float, low: float) -> float:
    return round(100 * (share - low) / (1 - low), 1)


def curves(lines: Sequence[dict[str, Any]], title: str, *, share: bool = False) -> Markup:
    """A figure by epoch, one line per trial and kind.

    Args:
        lines: label (legend; the same for all seeds of a training), method (colour), degree (marker), dashed, and
            points (epoch, value).
        title: for readers that cannot see it. share: values are shares 0 … 1, shown in per cent.
    """
    last = max(epoch for line in lines for epoch, _ in line["points"])
    top = 1.0 if share else _round_up(max(value for line in lines for _, value in line["points"]))
    span = max(1, last - 1)
    scaled = [line | {"points": [((e - 1) / span, v / top) for e, v in line["points"]]} for line in lines]
    every = math.ceil(last / 8)
    epochs = [(e - 1, str(e)) for e in range(1, last + 1) if e == 1 or e % every == 0]
    heights = _share_ticks(0.0) if share else [(i / 4, f"{top * i / 4:.3g}") for i in range(5)]
    return _chart(scaled, title, [(e / span, text) for e, text in epochs], heights, "epoch")


def cascades(lines: Sequence[dict[str, Any]], title: str) -> Markup:
    """Accuracy of student and teacher together against the share of the questions that go to the teacher.

    Args:
        lines: as for `curves`, with points (share, accuracy) and `chosen`, the point of the chosen threshold or None.
    """
    lines = [{**line, "chosen": [line["chosen"]] if line["chosen"] else []} for line in lines]
    low = _floor(accuracy for line in lines for _, accuracy in line["points"] + line["chosen"])
    scaled = [
        line
        | {
            name: [(share, (accuracy - low) / (1 - low)) for share, accuracy in line[name]]
            for name in ("points", "chosen")
        }
        for line in lines
    ]
    shares = [(at, f"{text} %") for at, text in _share_ticks(0.0)]
    return _chart(scaled, title, shares, _share_ticks(low), "share of the questions that go to the teacher", ends=True)


def clusters(points: Sequence[dict[str, Any]], chosen: dict[str, int], title: str) -> Markup:
    """The questions of a task by their first two principal components, coloured by cluster, exemplars numbered.

    Args:
        points: question_id, cluster, x, y.
        chosen: question_id of an exemplar -> its cluster, written beside it.
    """
    low = {axis: min(p[axis] for p in points) for axis in "xy"}
    span = {axis: max(p[axis] for p in points) - low[axis] or 1.0 for axis in "xy"}

    def place(point: dict[str, Any]) -> tuple[int, int]:
        x, y = ((point[axis] - low[axis]) / span[axis] for axis in "xy")
        return round(30 + x * (WIDTH - 60)), round(30 + (1 - y) * (MAP_HEIGHT - 60))

    cells: dict[int, dict[tuple[int, int], None]] = {}
    for p in points:
        x, y = place(p)
        cells.setdefault(p["cluster"], {})[x - x % MAP_GRID, y - y % MAP_GRID] = None
    drawn = [
        Markup('<path class="points{}" style="stroke:var(--k{})" d="{}"/>').format(
            " square" if cluster >= CLUSTER_COLOURS else "", cluster % CLUSTER_COLOURS, _dots(cells[cluster])
        )
        for cluster in sorted(cells)
    ]
    circle = '<circle cx="{x}" cy="{y}" r="24" style="stroke:var(--k{})"/><text class="x" x="{x}" y="{y}">{}</text>'
    for p in points:
        if p["question_id"] in chosen:
            x, y = place(p)
            drawn.append(Markup(circle).format(p["cluster"] % CLUSTER_COLOURS, chosen[p["question_id"]], x=x, y=y))
    return _svg(drawn, MAP_HEIGHT, title)


def _chart(
    lines: Sequence[dict[str, Any]],
    title: str,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    x_label: str,
    *,
    ends: bool = False,
) -> Markup:
    """Lines over axes with a legend; points lie in 0 … 1. `ends`: marks at the ends alone."""
    drawn = []
    for at, text in y_ticks:
        _, y = _on_axes((0, at))
        mark = '<path class="grid" d="M{} {y}H{}"/><text class="y" x="{}" y="{y}">{}</text>'
        drawn.append(Markup(mark).format(LEFT, WIDTH - RIGHT, LEFT - 12, text, y=y))
    for at, text in x_ticks:
        x, y = _on_axes((at, 0))
        drawn.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(x, y + 38, text))
    middle = (LEFT + WIDTH - RIGHT) // 2
    drawn.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(middle, HEIGHT - 12, x_label))
    legend: dict[str, Markup] = {}
    for line in lines:
        places = [_on_axes(point) for point in line["points"]]
        look = Markup('style="stroke:{}"').format(colour(line["method"]))
        kind = " square" if line["degree"] > 1 else ""
        path = Markup('<path class="line{}" {} d="M{}"/><path class="marks{}" {} d="{}"/>')
        through = "L".join(f"{x} {y}" for x, y in places)
        shown = [places[0], places[-1]] if ends else places[:: math.ceil(len(places) / MARKS)]
        drawn.append(path.format(" dashed" if line["dashed"] else "", look, through, kind, look, _dots(shown)))
        for x, y in (_on_axes(point) for point in line.get("chosen", ())):
            drawn.append(Markup('<circle class="ring" {} cx="{}" cy="{}" r="15"/>').format(look, x, y))
        dot = Markup('<li><i class="{}" style="background:{}"></i>{}</li>')
        legend[line["label"]] = dot.format(kind.strip(), colour(line["method"]), line["label"])
    return _svg(drawn, HEIGHT, title) + Markup('<ul class="legend">{}</ul>').format(Markup().join(legend.values()))


def _on_axes(point: tuple[float, float]) -> tuple[int, int]:
    x, y = point
    return round(LEFT + x * (WIDTH - LEFT - RIGHT)), round(HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM))


def _dots(places: Iterable[tuple[int, int]]) -> str:
    """A path of strokes without length, which its line caps make round or square marks."""
    return "".join(f"M{x} {y}h0" for x, y in places)


def _svg(parts: Iterable[Markup], height: int, title: str) -> Markup:
    svg = '<svg role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>'
    return Markup(svg).format(title, WIDTH, height, Markup().join(parts))


def _share_ticks(low: float) -> list[Tick]:
    return [(i / 4, f"{100 * (low + (1 - low) * i / 4):.0f}") for i in range(5)]


def _floor(shares: Iterable[float]) -> float:
    """Where an axis of shares may begin: at a fifth, below all of them."""
    return max(0.0, min(0.8, math.floor(5 * (min(shares, default=0.0) - 0.01)) / 5))


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 8 × a power of ten: its quarters are short numbers."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * (1 - 1e-9))

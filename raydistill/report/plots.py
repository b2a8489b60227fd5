"""The report's charts, as SVG for a page: small enough for a phone, text as text, colours from the page's CSS.

Matplotlib draws with marker colours that stand for CSS variables (--ink, --m-vanilla, --k3, …), so that one drawing
serves a light and a dark page. No pyplot, no global figure state.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raydistill.report import labels

CLUSTER_COLOURS = 8  # then they repeat, with another marker
CLUSTER_MARKERS = "osD^vPX"
RASTER_ABOVE = 2_000  # points; more would make a heavy page
WIDTH = 4.7  # inches: about as many CSS pixels as a phone is wide, so text keeps its size there

_NAMES = [
    "ink",
    "muted",
    "line",
    "panel",
    "other",
    *(f"m-{name}" for name in labels.METHODS),
    *(f"k{i}" for i in range(CLUSTER_COLOURS)),
]
_MARKS = {name: f"#0a{i:02x}fe" for i, name in enumerate(_NAMES)}
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "raydistill",
    "text.parse_math": False,
    "font.size": 9.5,
    "text.color": _MARKS["ink"],
    "axes.labelcolor": _MARKS["muted"],
    "axes.edgecolor": _MARKS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _MARKS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": _MARKS["line"],
    "ytick.color": _MARKS["line"],
    "xtick.labelcolor": _MARKS["muted"],
    "ytick.labelcolor": _MARKS["ink"],
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.constrained_layout.use": True,
}


def method_colour(method: str) -> str:
    return _MARKS.get(f"m-{method}", _MARKS["other"])


def bars(name: str, rows: Sequence[dict[str, Any]], title: str, chance: float | None = None) -> Markup:
    """Horizontal bars of accuracies with their intervals, first row on top.

    Args:
        name: prefix of the SVG's ids, unique on the page.
        rows: label, method (colour), accuracy (None: failed), ci_low, ci_high; shares 0 … 1.
        chance: accuracy of guessing, drawn as a dashed line.
    """
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, 0.62 + 0.34 * len(rows)))
        axes = figure.add_subplot()
        for y, row in enumerate(rows):
            _bar(axes, y, row)
        if chance is not None:
            axes.axvline(100 * chance, color=_MARKS["muted"], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            note: Any = {"color": _MARKS["muted"], "fontsize": 8, "ha": "center", "va": "bottom"}
            axes.text(100 * chance, 1.01, "chance", transform=axes.get_xaxis_transform(), **note)
        axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        _share_axis(axes, "x")
        axes.set_xlim(0, 118)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        return _svg(figure, name, title)


def _bar(axes: Axes, y: float, row: dict[str, Any]) -> None:
    if row["accuracy"] is None:
        axes.text(1, y, "failed", va="center", color=_MARKS["muted"], fontstyle="italic")
        return
    value, low, high = (100 * row[key] for key in ("accuracy", "ci_low", "ci_high"))
    axes.barh(y, value, height=0.62, color=method_colour(row["method"]), alpha=0.85, zorder=2)
    axes.plot([low, high], [y, y], color=_MARKS["ink"], linewidth=1.3, solid_capstyle="butt", zorder=3)
    for end in (low, high):
        axes.plot([end, end], [y - 0.13, y + 0.13], color=_MARKS["ink"], linewidth=1.3, zorder=3)
    axes.text(max(value, high) + 1.5, y, f"{value:.1f}", va="center", fontweight="bold", zorder=4)


def shift(name: str, rows: Sequence[dict[str, Any]], title: str) -> Markup:
    """How far the teacher moved, task by task: one dot with interval for every way of asking.

    Args:
        rows: task, method, label, accuracy, ci_low, ci_high; methods of a task in their order.
    """
    rows = [row for row in rows if row["accuracy"] is not None]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = {row["method"]: row["label"] for row in rows}
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.5 * len(tasks)))
        axes = figure.add_subplot()
        for y, task in enumerate(tasks):
            mine = [row for row in rows if row["task"] == task]
            for i, row in enumerate(mine):
                at = y + 0.2 * (i - (len(mine) - 1) / 2)
                colour = method_colour(row["method"])
                low, high = 100 * row["ci_low"], 100 * row["ci_high"]
                axes.plot([low, high], [at, at], color=colour, linewidth=2, alpha=0.55, solid_capstyle="round")
                axes.plot(100 * row["accuracy"], at, "o", color=colour, markersize=7)
                axes.text(high + 1.5, at, f"{100 * row['accuracy']:.1f}", va="center", fontsize=8)
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_ylim(len(tasks) - 0.4, -0.6)
        axes.set_xlim(min(100 * row["ci_low"] for row in rows) - 5, 109)
        _share_axis(axes, "x", full=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        _legend(figure, axes, {label: (method_colour(method), "o") for method, label in methods.items()})
        return _svg(figure, name, title)


def curves(name: str, lines: Sequence[dict[str, Any]], title: str, *, share: bool = False) -> Markup:
    """A figure by epoch, one line per trial and kind.

    Args:
        lines: label (legend; the same for all seeds of a training), method (colour), degree (marker), dashed, and
            epochs and values of equal length.
        title: also written above the chart. share: values are shares 0 … 1, shown in per cent.
    """
    looks = {line["label"]: (method_colour(line["method"]), "^" if line["degree"] > 1 else "o") for line in lines}
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, 2.5 + 0.2 * ((len(looks) + 1) // 2)))
        axes = figure.add_subplot()
        for line in lines:
            values = [100 * v for v in line["values"]] if share else line["values"]
            colour, marker = looks[line["label"]]
            style = "--" if line["dashed"] else "-"
            axes.plot(line["epochs"], values, style, color=colour, linewidth=1.6, marker=marker, markersize=3.5)
        if share:
            _share_axis(axes, "y")
            axes.set_ylim(-3, 103)
        else:
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_xlabel("epoch")
        axes.set_title(title, loc="left", fontsize=9, color=_MARKS["muted"])
        axes.tick_params(length=0)
        _legend(figure, axes, looks)
        return _svg(figure, name, title)


def clusters(name: str, points: Sequence[dict[str, Any]], chosen: dict[str, int], title: str) -> Markup:
    """The questions of a task by their first two principal components, coloured by cluster, exemplars ringed.

    Args:
        points: question_id, cluster, x, y.
        chosen: question_id of an exemplar -> its cluster, written beside it.
    """
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, 3.9))
        axes = figure.add_subplot()
        for cluster in sorted({p["cluster"] for p in points}):
            mine = [p for p in points if p["cluster"] == cluster]
            marker = CLUSTER_MARKERS[(cluster // CLUSTER_COLOURS) % len(CLUSTER_MARKERS)]
            axes.scatter(
                [p["x"] for p in mine],
                [p["y"] for p in mine],
                s=16,
                marker=marker,
                color=_MARKS[f"k{cluster % CLUSTER_COLOURS}"],
                alpha=0.7,
                linewidths=0,
                rasterized=len(points) > RASTER_ABOVE,
            )
        for p in points:
            if p["question_id"] in chosen:
                colour = _MARKS[f"k{p['cluster'] % CLUSTER_COLOURS}"]
                axes.scatter(p["x"], p["y"], s=190, color=_MARKS["panel"], edgecolors=colour, linewidths=2.2)
                number = str(chosen[p["question_id"]])
                axes.text(p["x"], p["y"], number, ha="center", va="center", fontsize=8.5, fontweight="bold")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.margins(0.06)
        return _svg(figure, name, title)


def _share_axis(axes: Axes, which: str, *, full: bool = True) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    if full:
        axis.set_ticks([0, 25, 50, 75, 100])
    axis.set_major_formatter(lambda value, _: f"{value:.0f} %" if 0 <= value <= 100 else "")


def _legend(figure: Figure, axes: Axes, looks: dict[str, tuple[str, str]]) -> None:
    """Below the axes; `looks` gives colour and marker of each label."""
    handles = []
    for colour, marker in looks.values():
        handles += axes.plot([], [], color=colour, marker=marker, markersize=4, linewidth=2)
    figure.legend(handles, list(looks), loc="outside lower left", ncols=2 if len(looks) > 1 else 1)


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """SVG without XML head; ids made unique with `name`, marker colours turned into CSS variables."""
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # text stays text: the reader's font has it
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)

    def restyle(tag: re.Match[str]) -> str:
        new = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag[0])
        new = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", new)
        new = re.sub(r"(font: [^;\"']*?px) [^;\"]*", r"\1 var(--font)", new)  # matplotlib before 3.11
        for css, colour in _MARKS.items():
            new = new.replace(colour, f"var(--{css})")
        if new.startswith("<svg "):
            new = re.sub(r' (width|height)="[^"]*"', "", new)  # the page sets the size
            new = new.replace("<svg ", f'<svg role="img" aria-label="{Markup.escape(title)}" ', 1)
        return new

    return Markup(re.sub(r"<[^>]+>", restyle, text))

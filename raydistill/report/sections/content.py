"""What the sections of the page have in common: the record that registers one, charts, and rows under headings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, NamedTuple, TypeVar

from markupsafe import Markup

from raydistill.report import labels
from raydistill.report.run import RunReport

T = TypeVar("T")


class Chart(NamedTuple):
    """A chart of `plots` with its caption."""

    caption: Markup | str
    drawing: Markup


class ChartGroup(NamedTuple):
    """Charts side by side."""

    name: str
    """What the fold that holds them is called; "": they do not fold."""
    charts: Sequence[Chart]


class Group(NamedTuple, Generic[T]):
    """Rows of a table under a heading."""

    heading: str
    rows: Sequence[T]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a section shows; its template reads the fields."""

    charts: Sequence[ChartGroup] = ()


class Section(NamedTuple):
    """A section of the page. Its template is `sections/<key>.html`."""

    key: str
    title: str
    build: Callable[[RunReport], Content | None]
    """None: the run has nothing to show there."""
    short_title: str = ""
    """For the list of contents; "": the title."""


def under_headings(rows: Iterable[T], heading: Callable[[T], str]) -> list[Group[T]]:
    """Group rows that follow each other by their heading."""
    return [Group(name, list(group)) for name, group in groupby(rows, key=heading)]


def student_heading(task: str, split: str, student: str) -> str:
    """Return the heading of a student's rows."""
    return f"{labels.task(task)}, {labels.split(split)}: {student}"

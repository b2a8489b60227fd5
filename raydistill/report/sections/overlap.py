"""Section: what share of the test questions the train questions give away in one form or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill import tasks
from raydistill.report import labels, records
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content, Group, under_headings


@dataclass(frozen=True)
class Overlap:
    """Test questions of a task and split: their number, and how many are in the train questions in some form."""

    task: str
    split: str
    n: int
    exact: int
    masked_digits: int
    template: int
    context: int
    other_task: int

    @property
    def fractions(self) -> tuple[float, ...]:
        """The counts as fractions of n, in the order of the fields."""
        counts = (self.exact, self.masked_digits, self.template, self.context, self.other_task)
        return tuple(count / self.n for count in counts)


@dataclass(frozen=True, kw_only=True)
class Overlaps(Content):
    """See overlap.html."""

    rows: Sequence[Group[Overlap]]


def build(run: RunReport) -> Overlaps | None:
    """Show the overlap by task and test split."""
    rows = records.read(tasks.leakage(run["questions"]), Overlap)
    if not rows:
        return None
    return Overlaps(rows=under_headings(rows, lambda row: labels.task(row.task)))

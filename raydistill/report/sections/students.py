"""Section: the students' accuracies, beside guessing, in pairs, and by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from raydistill.report import epochs, labels, paired, plots, records
from raydistill.report.accuracy import StudentAccuracy
from raydistill.report.epochs import TrialEpochs
from raydistill.report.guesses import Guess
from raydistill.report.paired import Comparison
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Chart, ChartGroup, Content, Group, student_heading, under_headings

NO_BREAK = "\u00a0"


class Figures(NamedTuple):
    """All figures of a student on a split."""

    heading: str
    guess: Guess | None
    rows: Sequence[StudentAccuracy]


class Missing(NamedTuple):
    """Why a way of choosing the epoch has no figure."""

    way: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Students(Content):
    """See students.html."""

    figures: Sequence[Figures]
    seeds: int
    pairs: Sequence[Group[Comparison]]
    by_epoch: Sequence[Group[TrialEpochs]]
    epoch_ways: Mapping[str, str]
    epoch_missing: Sequence[Missing]

    @property
    def has_chance(self) -> bool:
        """True if there are options to guess among."""
        return any(figures.guess for figures in self.figures)


def build(run: RunReport) -> Students:
    """Show the accuracies by task and split beside what guessing gives, and compare trainings and epochs."""
    by_task: dict[str, list[Chart]] = {}
    figures = []
    for rows in _by_student(run):
        first = rows[0]
        guess = run.guesses.get((first.task, first.split))
        by_task.setdefault(labels.task(first.task), []).append(_chart(run, rows, guess))
        figures.append(Figures(student_heading(first.task, first.split, first.student), guess, rows))
    compared = paired.comparisons(run["results"], run["predictions"])
    missing = []
    for way, reasons in epochs.missing(run.by_epoch).items():
        whole_name, _ = labels.EPOCHS[way]
        missing += [Missing(whole_name, reason) for reason in reasons]
    return Students(
        charts=[ChartGroup(task, charts) for task, charts in by_task.items()],
        figures=figures,
        seeds=max((row.seeds for row in run.students), default=1),
        pairs=under_headings(compared, lambda c: student_heading(c.first.task, c.first.split, c.first.student)),
        by_epoch=under_headings(run.by_epoch, lambda row: student_heading(row.task, "test", row.student)),
        epoch_ways={way: whole_name for way, (whole_name, _) in labels.EPOCHS.items()},
        epoch_missing=missing,
    )


def _by_student(run: RunReport) -> list[list[StudentAccuracy]]:
    """Return the rows of each task, student and split: students of a task together, their splits side by side."""
    tasks = records.unique(row.task for row in run.students)
    students = records.unique(row.student for row in run.students)
    groups = records.group(run.students, lambda row: (row.task, row.student, row.split))

    def place(rows: list[StudentAccuracy]) -> tuple[int, int, int]:
        first = rows[0]
        return tasks.index(first.task), students.index(first.student), labels.split_order(first.split)

    return sorted(groups.values(), key=place)


def _chart(run: RunReport, rows: Sequence[StudentAccuracy], guess: Guess | None) -> Chart:
    bars = []
    for row in rows:
        label = labels.method(row.method, row.degree, short=True)
        label = label.replace("D = ", f"D{NO_BREAK}={NO_BREAK}")  # does not break there
        bars.append(plots.Bar(label, row.method, row.accuracy, row.ci_low, row.ci_high))
    caption = Markup("<b>{}</b>, {}, {} questions").format(
        run.short_names[rows[0].student], labels.split(rows[0].split), f"{max(row.n for row in rows):,}"
    )
    return Chart(caption, plots.bars(bars, chance=guess.chance if guess else None))

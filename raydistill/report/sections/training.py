"""Section: learning curves and one row per trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raydistill.method.methods import UNTRAINED
from raydistill.report import labels, plots, records
from raydistill.report.epochs import Epoch
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Chart, ChartGroup, Content

Figure = Literal["train_loss", "validation_loss", "test_accuracy", "validation_accuracy"]


@dataclass(frozen=True)
class Trial:
    """Columns of STUDENTS."""

    task: str
    student: str
    method: str
    degree: int
    seed: int
    train_rows: int | None
    steps: int | None
    train_seconds: float | None
    train_tokens: int | None
    epochs: Sequence[Epoch] | None
    checkpoint: str | None
    error: str

    @property
    def last_loss(self) -> float | None:
        """Training loss of the last epoch that has one."""
        losses = [epoch["train_loss"] for epoch in self.epochs or () if epoch["train_loss"] is not None]
        return losses[-1] if losses else None

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of training."""
        if not self.train_seconds or not self.train_tokens:
            return None
        return self.train_tokens / self.train_seconds


@dataclass(frozen=True, kw_only=True)
class Training(Content):
    """See training.html."""

    trials: Sequence[Trial]


def build(run: RunReport) -> Training | None:
    """Show the trained trials and their learning curves, one line for each trial of two epochs or more."""
    trials = []
    for trial in records.read(run["students"], Trial):
        if trial.method not in UNTRAINED or trial.error:
            trials.append(trial)
    if not trials:
        return None
    trials.sort(key=lambda trial: (trial.task, trial.student, labels.method_order(trial.method)))
    charts = []
    for task, of_task in records.group(trials, lambda trial: trial.task).items():
        of_students = []
        for student, of_student in records.group(of_task, lambda trial: trial.student).items():
            of_students += _charts(run.short_names[student], of_student)
        if of_students:
            charts.append(ChartGroup(f"{labels.task(task)}: learning curves", of_students))
    return Training(charts=charts, trials=trials)


def _charts(student: str, trials: Sequence[Trial]) -> list[Chart]:
    """Draw loss and accuracy of a student's trials by epoch; the validation part's losses and accuracies are dashed."""
    losses: list[plots.Line] = []
    accuracies: list[plots.Line] = []
    for trial in trials:
        # A single epoch makes no curve.
        if trial.epochs and len(trial.epochs) > 1:
            losses += _lines(trial, "train_loss", "validation_loss")
            accuracies += _lines(trial, "test_accuracy", "validation_accuracy")
    charts = []
    if losses:
        title = _title(student, "train loss", "validation loss", losses)
        charts.append(Chart(title, plots.curves(losses, title)))
    if accuracies:
        title = _title(student, "test accuracy", "validation accuracy", accuracies) + ", %"
        charts.append(Chart(title, plots.curves(accuracies, title, fractions=True)))
    return charts


def _lines(trial: Trial, solid: Figure, dashed: Figure) -> list[plots.Line]:
    """Return the trial's lines, without the epochs that have no value."""
    label = labels.method(trial.method, trial.degree, short=True)
    lines = []
    for figure in (solid, dashed):
        points = []
        for epoch in trial.epochs or ():
            value = epoch[figure]
            if value is not None:
                points.append((float(epoch["epoch"]), value))
        if points:
            lines.append(plots.Line(label, trial.method, trial.degree, figure == dashed, points))
    return lines


def _title(student: str, solid: str, dashed: str, lines: Sequence[plots.Line]) -> str:
    if any(line.dashed for line in lines):
        return f"{student}, {solid}, dashed: {dashed}"
    return f"{student}, {solid}"

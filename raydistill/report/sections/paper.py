"""Section: this run's figures beside the published ones, for the tasks that the paper has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.report import labels, paper, records
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content

Accuracies = Mapping[tuple[str, int, str], float]
"""By (method, degree, model)."""
TEACHER = "teacher"


class PaperRow(NamedTuple):
    """Accuracies of a training, by the columns of its task."""

    method: str
    degree: int
    own: Sequence[float | None]
    published: Sequence[float | None]


class PaperTask(NamedTuple):
    """A task, its columns (model names) and its rows."""

    name: str
    own_models: Sequence[str]
    published_models: Sequence[str]
    rows: Sequence[PaperRow]


@dataclass(frozen=True, kw_only=True)
class Paper(Content):
    """See paper.html."""

    tasks: Sequence[PaperTask]
    notes: Sequence[str]


def build(run: RunReport) -> Paper | None:
    """Set accuracies by the published extraction rules beside the paper's, method by method."""
    tasks = []
    for task, own in _own(run).items():
        published = paper.figures(task)
        if published:
            tasks.append(_task(task, own, published))
    return Paper(tasks=tasks, notes=paper.tables()["notes"]) if tasks else None


def _own(run: RunReport) -> dict[str, Accuracies]:
    """Return this run's accuracies by task."""
    by_task: dict[str, dict[tuple[str, int, str], float]] = {}
    for student in run.evaluated:
        if student.split == "test" and student.published_accuracy is not None:
            of_task = by_task.setdefault(student.task, {})
            of_task[student.method, student.degree, student.student] = student.published_accuracy
    for row in run.teacher_overall:
        if row.task in by_task and row.published_accuracy is not None:
            by_task[row.task][row.method, row.degree, TEACHER] = row.published_accuracy
    return {**by_task}


def _task(task: str, own: Accuracies, published: Accuracies) -> PaperTask:
    trainings = {(method, degree) for method, degree, _ in [*own, *published]}
    own_models = _models(own)
    published_models = _models(published)
    rows = []
    for method, degree in sorted(trainings, key=lambda training: (labels.method_order(training[0]), training[1])):
        own_row = _row(own, method, degree, own_models)
        published_row = _row(published, method, degree, published_models)
        rows.append(PaperRow(method, degree, own_row, published_row))
    return PaperTask(labels.task(task), own_models, published_models, rows)


def _row(accuracies: Accuracies, method: str, degree: int, models: Sequence[str]) -> list[float | None]:
    return [accuracies.get((method, degree, model)) for model in models]


def _models(accuracies: Accuracies) -> list[str]:
    """Return the teacher and then the students, in the order of their first figures."""
    return records.unique([TEACHER, *(model for _, _, model in accuracies)])

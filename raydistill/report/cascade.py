"""Student and teacher together (table `cascade`): the curves that terminal and page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from raydistill.report import labels, records

Point = tuple[float, float]
"""Fraction of the questions that go to the teacher, accuracy."""


@dataclass(frozen=True)
class Threshold:
    """A row of CASCADE."""

    trial: str
    task: str
    student: str
    method: str
    confidence: str
    split: str
    threshold: float
    teacher_fraction: float
    accuracy: float
    chosen: bool


@dataclass(frozen=True)
class _Trial:
    """Columns of STUDENTS."""

    trial: str
    degree: int
    seed: int


@dataclass(frozen=True)
class Curve:
    """Accuracy by the fraction of the questions that go to the teacher, of one trial, confidence and test split."""

    task: str
    split: str
    student: str
    method: str
    degree: int
    seed: int
    confidence: str
    points: Sequence[Point]
    """By fraction; the first is the student alone, the last the teacher alone."""
    chosen: Threshold | None
    """The threshold that the validation questions suggest."""

    @property
    def student_alone(self) -> float:
        """Accuracy without the teacher."""
        return self.points[0][1]

    @property
    def teacher_alone(self) -> float:
        """Accuracy if every question goes to the teacher."""
        return self.points[-1][1]

    @property
    def by_votes(self) -> bool:
        """True if the student is as sure as its samples agree."""
        return self.confidence == "votes"


def curves(cascade: pa.Table, students: pa.Table) -> list[Curve]:
    """Return the curves of CASCADE, one for each trial of `students`, confidence and test split."""
    trials = {trial.trial: trial for trial in records.read(students, _Trial)}
    thresholds = []
    for row in records.read(cascade, Threshold):
        if row.split != "validation" and row.trial in trials:
            thresholds.append(row)
    groups = records.group(thresholds, lambda row: (row.trial, row.confidence, row.split))
    by_training = [_curve(rows, trials[trial]) for (trial, _, _), rows in groups.items()]
    return sorted(by_training, key=_place)


def _curve(rows: Sequence[Threshold], trial: _Trial) -> Curve:
    first = rows[0]
    points = []
    chosen = None
    for row in rows:
        if row.chosen:
            chosen = row
        else:
            points.append((row.teacher_fraction, row.accuracy))
    return Curve(
        task=first.task,
        split=first.split,
        student=first.student,
        method=first.method,
        degree=trial.degree,
        seed=trial.seed,
        confidence=first.confidence,
        points=sorted(points),
        chosen=chosen,
    )


def _place(curve: Curve) -> tuple[str, str, str, int, int, int, str]:
    method = labels.method_order(curve.method)
    return curve.task, curve.student, curve.split, method, curve.degree, curve.seed, curve.confidence

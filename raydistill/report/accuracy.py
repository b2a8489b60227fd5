"""Accuracies of students: one row for each training, its seeds made one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol, TypeVar

import pyarrow as pa

from raydistill.report import labels, records
from raydistill.report.intervals import wilson
from raydistill.report.results import TrialResult


class _Trained(Protocol):
    @property
    def method(self) -> str: ...

    @property
    def degree(self) -> int: ...


T = TypeVar("T", bound=_Trained)


@dataclass(frozen=True)
class StudentAccuracy:
    """Means over the finished trials of a (task, split, student, method, degree); no figures if none is finished."""

    task: str
    split: str
    student: str
    method: str
    degree: int
    n: int
    """Questions that a trial answered."""
    train_rows: int
    seeds: int
    """Finished trials."""
    error: str
    accuracy: float | None = None
    ci_low: float | None = None
    """Wilson's interval at the mean accuracy, for n questions."""
    ci_high: float | None = None
    lowest: float | None = None
    """Accuracy of the worst seed."""
    highest: float | None = None
    published_accuracy: float | None = None
    answer_marker_rate: float | None = None
    eos_rate: float | None = None
    mean_tokens: float | None = None


def finished(results: pa.Table) -> list[TrialResult]:
    """Read the rows of RESULTS that have figures."""
    return [row for row in records.read(results, TrialResult) if row.accuracy is not None]


def over_seeds(results: pa.Table) -> list[StudentAccuracy]:
    """Make the seeds of each training in RESULTS one, in the order of their first rows."""
    trials = records.read(results, TrialResult)
    groups = records.group(trials, lambda row: (row.task, row.split, row.student, row.method, row.degree))
    return [_mean(rows) for rows in groups.values()]


def _mean(trials: Sequence[TrialResult]) -> StudentAccuracy:
    accuracies = [row.accuracy for row in trials if row.accuracy is not None]
    done = [row for row in trials if row.accuracy is not None]
    first = (done or trials)[0]
    error = "; ".join(records.unique(row.error for row in trials if row.error))
    seeds = len(done)
    if not done:
        return StudentAccuracy(
            first.task, first.split, first.student, first.method, first.degree, first.n, first.train_rows, seeds, error
        )
    accuracy = fmean(accuracies)
    # Seeds answer the same questions: they make the interval no narrower.
    low, high = wilson(accuracy * first.n, first.n)
    return StudentAccuracy(
        task=first.task,
        split=first.split,
        student=first.student,
        method=first.method,
        degree=first.degree,
        n=first.n,
        train_rows=first.train_rows,
        seeds=seeds,
        error=error,
        accuracy=accuracy,
        ci_low=low,
        ci_high=high,
        lowest=min(accuracies),
        highest=max(accuracies),
        published_accuracy=mean(row.published_accuracy for row in done),
        answer_marker_rate=mean(row.answer_marker_rate for row in done),
        eos_rate=mean(row.eos_rate for row in done),
        mean_tokens=mean(row.mean_tokens for row in done),
    )


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that there are; None if there are none."""
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def of_training(rows: Iterable[T], training: _Trained) -> list[T]:
    """Return the rows of the same method and degree as `training`."""
    return [row for row in rows if (row.method, row.degree) == (training.method, training.degree)]


def best_informed(rows: Iterable[T]) -> T:
    """Return the row of the last method in report order, and of its rows the highest degree.

    It is what a summary shows first.

    Raises:
        ValueError: there are no rows.
    """
    return max(rows, key=lambda row: (labels.method_order(row.method), row.degree))

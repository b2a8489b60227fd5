"""The table `results`: every trial on every test split of its task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean

import pyarrow as pa

from raydistill import tables
from raydistill.report import labels, records
from raydistill.report.intervals import wilson

TEST_SPLITS = ("test", "test_unseen")


@dataclass(frozen=True)
class TrialResult:
    """A row of RESULTS: one trial on one test split; a failed trial has no figures."""

    task: str
    split: str
    method: str
    degree: int
    student: str
    seed: int
    trial: str
    n: int
    """Questions that were answered."""
    correct: int
    train_rows: int
    error: str
    accuracy: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    published_accuracy: float | None = None
    answer_marker_rate: float | None = None
    eos_rate: float | None = None
    mean_tokens: float | None = None


@dataclass(frozen=True)
class _Trial:
    """Columns of STUDENTS."""

    task: str
    method: str
    degree: int
    student: str
    seed: int
    trial: str
    train_rows: int
    error: str


@dataclass(frozen=True)
class _Prediction:
    """Columns of PREDICTIONS."""

    trial: str
    split: str
    correct: bool
    published_correct: bool
    has_answer_marker: bool
    stopped_at_eos: bool
    tokens: int | None


def summarise(students: pa.Table, predictions: pa.Table, questions: pa.Table) -> pa.Table:
    """Sum up every trial's predictions on every test split of its task.

    Args:
        students: tables.STUDENTS.
        predictions: tables.PREDICTIONS (train rows are left out here).
        questions: tables.QUESTIONS; its test questions say how many predictions a trial owes.

    Returns:
        tables.RESULTS, one row per trial and test split, by task, split, student, method, degree, seed. A failed
        trial keeps its rows, with null figures and its error; one that answered only some of its questions has the
        figures of those, and an error.
    """
    tasks = questions["task"].to_pylist()
    expected = Counter(zip(tasks, questions["split"].to_pylist(), strict=True))
    answered = records.group(records.read(predictions, _Prediction), lambda row: (row.trial, row.split))
    rows = []
    for trial in records.read(students, _Trial):
        splits = [split for split in TEST_SPLITS if expected[trial.task, split]]
        # A trial of a task without test questions has a row all the same: its error must not get lost.
        for split in splits or ["test"]:
            rows.append(_result(trial, split, answered.get((trial.trial, split), []), expected[trial.task, split]))
    task_order = records.unique(tasks)
    student_order = records.unique(students["student"].to_pylist())

    def place(row: TrialResult) -> tuple[int, ...]:
        return (
            labels.position(row.task, task_order),
            labels.split_order(row.split),
            labels.position(row.student, student_order),
            labels.method_order(row.method),
            row.degree,
            row.seed,
        )

    rows.sort(key=place)
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=tables.RESULTS)


def _result(trial: _Trial, split: str, predictions: Sequence[_Prediction], expected: int) -> TrialResult:
    n = len(predictions)
    correct = sum(bool(row.correct) for row in predictions)
    error = trial.error
    if not error and n != expected:
        error = f"{n} of {expected} questions were answered"
    result = TrialResult(
        task=trial.task,
        split=split,
        method=trial.method,
        degree=trial.degree,
        student=trial.student,
        seed=trial.seed,
        trial=trial.trial,
        n=n,
        correct=correct,
        train_rows=trial.train_rows,
        error=error,
    )
    if not predictions:
        return result
    low, high = wilson(correct, n)
    return replace(
        result,
        accuracy=correct / n,
        ci_low=low,
        ci_high=high,
        published_accuracy=fmean(bool(row.published_correct) for row in predictions),
        answer_marker_rate=fmean(bool(row.has_answer_marker) for row in predictions),
        eos_rate=fmean(bool(row.stopped_at_eos) for row in predictions),
        mean_tokens=fmean(row.tokens or 0 for row in predictions),
    )

"""The teacher's accuracy, and how its answers came about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from raydistill.report import labels, records
from raydistill.report.intervals import wilson

ALL = "all"
"""The split that stands for all splits together."""


@dataclass(frozen=True)
class _Sample:
    """Columns of SAMPLES."""

    task: str
    method: str
    degree: int
    split: str
    question_id: str
    prediction: str | None
    correct: bool
    published_correct: bool
    answered_by: str
    finish_reason: str
    error: str


@dataclass(frozen=True)
class TeacherAccuracy:
    """The samples of a task, method, degree and split. Fractions are of `n`, and None if n is 0."""

    task: str
    method: str
    degree: int
    split: str
    n: int
    """Samples that were answered."""
    failed: int
    """Samples whose requests failed; they are in no other figure."""
    questions: int
    accuracy: float | None = None
    ci_low: float | None = None
    """Wilson's interval, for the number of questions."""
    ci_high: float | None = None
    any_correct: float | None = None
    """Fraction of the questions with a right sample."""
    published_accuracy: float | None = None
    answer_call: float | None = None
    """Fraction whose answer took a call of its own."""
    no_answer: float | None = None
    truncated: float | None = None
    """Fraction that the token limit ended."""


def by_split(*samples: pa.Table) -> list[TeacherAccuracy]:
    """Measure the teacher on SAMPLES: a row for each split of a task, method and degree, and one for all of several."""
    rows: list[_Sample] = []
    for table in samples:
        rows += records.read(table, _Sample)
    figures = []
    for (task, method, degree), of_training in records.group(rows, lambda r: (r.task, r.method, r.degree)).items():
        by_name = records.group(of_training, lambda row: row.split)
        if len(by_name) > 1:
            by_name[ALL] = of_training
        for split, of_split in by_name.items():
            figures.append(_accuracy(task, method, degree, split, of_split))
    tasks = records.unique(row.task for row in figures)

    def place(row: TeacherAccuracy) -> tuple[int, ...]:
        return tasks.index(row.task), labels.method_order(row.method), row.degree, labels.split_order(row.split)

    return sorted(figures, key=place)


def overall(figures: Iterable[TeacherAccuracy]) -> list[TeacherAccuracy]:
    """Of the rows of `by_split`, keep those for all splits together (or for the only one) that have figures."""
    widest = {}
    for row in figures:  # "all" comes last of a training's rows
        if row.accuracy is not None:
            widest[row.task, row.method, row.degree] = row
    return list(widest.values())


def _accuracy(task: str, method: str, degree: int, split: str, samples: Sequence[_Sample]) -> TeacherAccuracy:
    answered = [row for row in samples if not row.error]
    n = len(answered)
    questions = {row.question_id for row in answered}
    failed = len(samples) - n
    if not answered:
        return TeacherAccuracy(task, method, degree, split, n, failed, len(questions))

    def fraction(test: Callable[[_Sample], bool]) -> float:
        return sum(test(row) for row in answered) / n

    accuracy = fraction(lambda row: bool(row.correct))
    # Samples of one question depend on each other: the interval is for the number of questions.
    low, high = wilson(accuracy * len(questions), len(questions))
    solved = {row.question_id for row in answered if row.correct}
    return TeacherAccuracy(
        task=task,
        method=method,
        degree=degree,
        split=split,
        n=n,
        failed=failed,
        questions=len(questions),
        accuracy=accuracy,
        ci_low=low,
        ci_high=high,
        any_correct=len(solved) / len(questions),
        published_accuracy=fraction(lambda row: bool(row.published_correct)),
        answer_call=fraction(lambda row: row.answered_by not in ("rationale", "none")),
        no_answer=fraction(lambda row: row.prediction is None),
        truncated=fraction(lambda row: row.finish_reason == "length"),
    )

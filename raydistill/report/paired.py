"""Two trainings of one student compared question by question."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from scipy.stats import binomtest

from raydistill.method.methods import METHODS
from raydistill.report import records
from raydistill.report.accuracy import best_informed, finished
from raydistill.report.results import TrialResult


class Paired(NamedTuple):
    """Two trials on the same questions, and the two-sided p-value of the exact McNemar test."""

    n: int
    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float

    @property
    def difference(self) -> float:
        """Accuracy of the first minus that of the second."""
        return (self.only_first - self.only_second) / self.n if self.n else 0.0


class Comparison(NamedTuple):
    """Two trials that were compared."""

    first: TrialResult
    second: TrialResult
    pair: Paired


@dataclass(frozen=True)
class _Prediction:
    """Columns of PREDICTIONS."""

    trial: str
    split: str
    question_id: str
    correct: bool


def compare(first: Mapping[str, bool], second: Mapping[str, bool]) -> Paired:
    """Run the exact McNemar test (McNemar 1947) on two {question_id: correct}, on the questions that both answered."""
    shared = first.keys() & second.keys()
    cells = Counter((first[question], second[question]) for question in shared)
    only_first = cells[True, False]
    only_second = cells[False, True]
    differing = only_first + only_second
    p_value = 1.0
    if differing:
        p_value = float(binomtest(only_first, differing, 0.5).pvalue)
    return Paired(cells.total(), cells[True, True], only_first, only_second, cells[False, False], p_value)


def comparisons(results: pa.Table, predictions: pa.Table) -> list[Comparison]:
    """Compare each student's best-informed training with its other trainings, question by question.

    Per (task, split, student, seed): the last method in report order that the run has is compared, at every degree,
    with the other methods of that degree, and with those that have no degree as the teacher is not asked for them.
    """
    correct: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for row in records.read(predictions, _Prediction):
        correct[row.trial, row.split][row.question_id] = bool(row.correct)
    groups = records.group(finished(results), lambda row: (row.task, row.split, row.student, row.seed))
    compared = []
    for group in groups.values():
        for first, second in _pairs(group):
            pair = compare(correct[first.trial, first.split], correct[second.trial, second.split])
            compared.append(Comparison(first, second, pair))
    return compared


def _pairs(trials: Sequence[TrialResult]) -> Iterable[tuple[TrialResult, TrialResult]]:
    """Yield the pairs to compare of one student's trials on one split."""
    best = best_informed(trials).method
    others = [row for row in trials if row.method != best]
    for first in trials:
        if first.method == best:
            for second in others:
                if second.degree == first.degree or not METHODS[second.method].asks_teacher:
                    yield first, second

"""What became of the teacher's answers to the train questions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.report import labels, records

Training = tuple[str, str, int]
"""Task, method, degree."""


@dataclass(frozen=True)
class _Candidate:
    """Columns of TRAINING."""

    task: str
    method: str
    degree: int
    question_id: str
    kept: bool
    reason: str


@dataclass(frozen=True)
class _Judgement:
    """Columns of JUDGEMENTS."""

    task: str
    method: str
    degree: int
    verdict: str


@dataclass(frozen=True)
class _Sample:
    """Columns of SAMPLES."""

    task: str
    method: str
    degree: int
    prediction: str | None
    correct: bool
    error: str


@dataclass(frozen=True)
class Answers:
    """Samples of train questions."""

    requested: int
    answered: int
    correct: int


@dataclass(frozen=True)
class CurationOutcome:
    """The candidates of a task, method and degree, and what curation made of them."""

    task: str
    method: str
    degree: int
    answers: Answers | None
    """None for a method that the teacher is not asked for."""
    candidates: int
    kept: int
    kept_questions: int
    reasons: Counter[str]
    """Codes of TRAINING.reason with the number of candidates dropped for them."""
    verdicts: Counter[str]
    """Verdicts of the LLM judge; empty if it was not asked."""

    @property
    def total(self) -> int:
        """What fractions are of: the samples, or the candidates of a method without any."""
        requested = self.answers.requested if self.answers else 0
        return requested or self.candidates or 1


def outcomes(training: pa.Table, judgements: pa.Table, *samples: pa.Table) -> list[CurationOutcome]:
    """Account for every candidate of TRAINING, one row per task, method and degree.

    Args:
        training: tables.TRAINING.
        judgements: tables.JUDGEMENTS, empty if the LLM judge was not asked.
        samples: tables.SAMPLES.
    """
    verdicts: dict[Training, Counter[str]] = defaultdict(Counter)
    for judgement in records.read(judgements, _Judgement):
        verdicts[judgement.task, judgement.method, judgement.degree][judgement.verdict] += 1
    answers = _answers(samples)
    groups = records.group(records.read(training, _Candidate), lambda row: (row.task, row.method, row.degree))
    rows = []
    for key, candidates in groups.items():
        kept = [row for row in candidates if row.kept]
        outcome = CurationOutcome(
            *key,
            answers=answers.get(key),
            candidates=len(candidates),
            kept=len(kept),
            kept_questions=len({row.question_id for row in kept}),
            reasons=Counter(row.reason for row in candidates if not row.kept),
            verdicts=verdicts[key],
        )
        rows.append(outcome)
    tasks = records.unique(row.task for row in rows)
    return sorted(rows, key=lambda row: (tasks.index(row.task), labels.method_order(row.method), row.degree))


def _answers(samples: Sequence[pa.Table]) -> dict[Training, Answers]:
    """Count the samples of train questions."""
    of_train: list[_Sample] = []
    for table in samples:
        train = table.filter(pc.equal(table["split"], "train"))
        of_train += records.read(train, _Sample)
    counts = {}
    for key, rows in records.group(of_train, lambda row: (row.task, row.method, row.degree)).items():
        answered = 0
        correct = 0
        for row in rows:
            if not row.error:
                answered += row.prediction is not None
                correct += bool(row.correct)
        counts[key] = Answers(len(rows), answered, correct)
    return counts

"""Telling test questions: which of them the report shows, with what every training answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.report import records
from raydistill.report.accuracy import best_informed, finished
from raydistill.report.results import TrialResult


@dataclass(frozen=True)
class Prediction:
    """Columns of PREDICTIONS."""

    trial: str
    split: str
    question_id: str
    completion: str
    prediction: str | None
    correct: bool


class Example(NamedTuple):
    """A test question and its answers by the trials of the first student and seed."""

    task: str
    split: str
    question_id: str
    correct: bool
    """True if the best-informed training got it right."""
    answers: Sequence[tuple[TrialResult, Prediction]]


def choose(results: pa.Table, predictions: pa.Table, each: int = 2) -> list[Example]:
    """Choose, per task, up to `each` questions that the best-informed training got right, and as many wrong ones.

    Those on which the trainings differ come first. Answers are in table order.
    """
    chosen = []
    for task, rows in records.group(finished(results), lambda row: row.task).items():
        first = rows[0]
        trials = {}
        for row in rows:
            if (row.student, row.seed) == (first.student, first.seed):
                trials[row.trial] = row
        best = best_informed(trials.values()).trial
        complete = _answered_by_all(predictions, list(trials))
        for correct in (True, False):
            keys = [key for key, by_trial in complete.items() if bool(by_trial[best].correct) == correct]
            # Questions on which the trainings differ first, then by (split, question_id): the same in every report.
            keys.sort(key=lambda key: (_all_alike(complete[key]), key))
            for split, question_id in keys[:each]:
                by_trial = complete[split, question_id]
                answers = [(result, by_trial[trial]) for trial, result in trials.items()]
                chosen.append(Example(task, split, question_id, correct, answers))
    return chosen


def _answered_by_all(predictions: pa.Table, trials: Sequence[str]) -> dict[tuple[str, str], dict[str, Prediction]]:
    """Collect the answers of the trials by (split, question_id), for test questions that all of them answered."""
    of_trials = predictions.filter(pc.is_in(predictions["trial"], value_set=pa.array(trials, pa.string())))
    answers: dict[tuple[str, str], dict[str, Prediction]] = {}
    for row in records.read(of_trials, Prediction):
        if row.split != "train":
            answers.setdefault((row.split, row.question_id), {})[row.trial] = row
    return {key: by_trial for key, by_trial in answers.items() if len(by_trial) == len(trials)}


def _all_alike(by_trial: Mapping[str, Prediction]) -> bool:
    """Return True if all trials are right, or all wrong."""
    return len({bool(row.correct) for row in by_trial.values()}) == 1

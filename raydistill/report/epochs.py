"""Which epoch counts: a trial's accuracy on the split `test` with its epoch chosen in three ways.

A run keeps and reports the weights of one epoch (setting students.checkpoint_selection). What the others would have
given is known if the student was evaluated after every epoch. Best on test is what Ho et al. 2023 report: the highest
of all epochs' accuracies on the very questions that it is reported on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple, TypedDict

import pyarrow as pa

from raydistill.method.methods import UNTRAINED
from raydistill.report import labels, records
from raydistill.report.results import TrialResult

WAYS = tuple(labels.EPOCHS)
_NOT_EVALUATED = "the students were not evaluated after every epoch (students.evaluate_every_epoch)"
_NO_VALIDATION = "no train questions were kept out (students.validation_fraction)"


class Choice(NamedTuple):
    """The epoch (from 1) that a way of choosing takes and its accuracy on test (0 … 1), or `why` there is none."""

    epoch: int | None
    accuracy: float | None
    why: str = ""


@dataclass(frozen=True)
class TrialEpochs:
    """A trained trial, and its epoch by each of `WAYS`."""

    task: str
    student: str
    method: str
    degree: int
    seed: int
    choices: Mapping[str, Choice]


@dataclass(frozen=True)
class MeanEpochs:
    """A training, and the mean accuracy of its seeds by each of `WAYS`; None if a seed has none."""

    task: str
    student: str
    method: str
    degree: int
    accuracies: Mapping[str, float | None]


class Epoch(TypedDict):
    """An entry of STUDENTS.epochs."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_accuracy: float | None


@dataclass(frozen=True)
class _Trial:
    """Columns of STUDENTS."""

    trial: str
    task: str
    student: str
    method: str
    degree: int
    seed: int
    settings: str
    epochs: Sequence[Epoch] | None
    error: str


def choices(students: pa.Table, results: pa.Table) -> list[TrialEpochs]:
    """Choose the epoch of each trained trial in each of `WAYS`.

    Args:
        students: STUDENTS; failed trials and untrained students are left out.
        results: RESULTS, whose accuracy is that of the epoch which the trial's `students.checkpoint_selection` took.
    """
    reported = {}
    for result in records.read(results, TrialResult):
        if result.split == "test":
            reported[result.trial] = result.accuracy
    rows = []
    for trial in records.read(students, _Trial):
        if trial.method in UNTRAINED or trial.error or not trial.epochs:
            continue
        by_way = _choices(trial, trial.epochs, reported.get(trial.trial))
        rows.append(TrialEpochs(trial.task, trial.student, trial.method, trial.degree, trial.seed, by_way))
    tasks = records.unique(row.task for row in rows)
    models = records.unique(row.student for row in rows)
    return sorted(rows, key=lambda r: (tasks.index(r.task), models.index(r.student), labels.method_order(r.method)))


def _choices(trial: _Trial, epochs: Sequence[Epoch], reported: float | None) -> dict[str, Choice]:
    settings = json.loads(trial.settings or "{}")
    taken: dict[str, Epoch | None] = {
        "last": epochs[-1],
        "validation": _best([(epoch["validation_accuracy"], epoch) for epoch in epochs]),
        "best_on_test": _best([(epoch["test_accuracy"], epoch) for epoch in epochs]),
    }
    kept = taken[settings.get("checkpoint_selection", "last")]
    by_way = {}
    for way in WAYS:
        epoch = taken[way]
        if epoch is None:
            no_validation = way == "validation" and not settings.get("validation_fraction")
            by_way[way] = Choice(None, None, _NO_VALIDATION if no_validation else _NOT_EVALUATED)
            continue
        accuracy = epoch["test_accuracy"]
        if epoch is kept and reported is not None:
            # The kept epoch's answers were generated once more: the rest of the report shows their accuracy.
            accuracy = reported
        by_way[way] = Choice(epoch["epoch"], accuracy, _NOT_EVALUATED if accuracy is None else "")
    return by_way


def _best(epochs: Sequence[tuple[float | None, Epoch]]) -> Epoch | None:
    """Return the epoch of the highest accuracy, of equals the first, as in training; None if no accuracy is known."""
    best: Epoch | None = None
    highest = -1.0  # below any accuracy
    for accuracy, epoch in epochs:
        if accuracy is not None and accuracy > highest:
            best = epoch
            highest = accuracy
    return best


def over_seeds(trials: Iterable[TrialEpochs]) -> list[MeanEpochs]:
    """Make the seeds of each training one."""
    means = []
    groups = records.group(trials, lambda row: (row.task, row.student, row.method, row.degree))
    for key, rows in groups.items():
        accuracies: dict[str, float | None] = {}
        for way in WAYS:
            known = [row.choices[way].accuracy for row in rows]
            present = [accuracy for accuracy in known if accuracy is not None]
            accuracies[way] = fmean(present) if len(present) == len(rows) else None
        means.append(MeanEpochs(*key, accuracies))
    return means


def missing(trials: Sequence[TrialEpochs]) -> dict[str, list[str]]:
    """Return the ways for which a trial has no figure, with the reasons."""
    reasons = {}
    for way in WAYS:
        whys = records.unique(row.choices[way].why for row in trials if row.choices[way].why)
        if whys:
            reasons[way] = whys
    return reasons

"""The search for hyper-parameters: the same trials as the grid's, chosen by what they give on validation questions.

What a trial gave is in its folder (`metrics.json`, or `stopped.json` if ASHA stopped it), so that a search that was
killed goes on: finished trials are not trained again, and Optuna is told what they gave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from raydistill.config import Settings
from raydistill.method.methods import METHODS
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.progress import Progress, Stage
from raydistill.runtime.store import Store
from raydistill.students import grid, schedule, trial_files
from raydistill.students.records import Epoch
from raydistill.students.search_space import SearchPoint, optuna_search, points, suggested_points, suggested_trial, vary
from raydistill.students.trial import Trial

METRIC = "validation_accuracy"


class SearchRow(NamedTuple):
    """One point that was tried for one student, and what it gave; None if it gave nothing."""

    task: str
    student: str
    method: str
    degree: int
    trial: str
    learning_rate: float | None = None
    per_device_train_batch_size: int | None = None
    epoch: int | None = None
    """The best one, from 1; the fields below are of it."""
    validation_accuracy: float | None = None
    """0 … 1."""
    validation_loss: float | None = None
    stopped: bool = False
    """ASHA ended it before its last epoch."""
    error: str = ""


def search(
    questions: pa.Table, training: pa.Table, settings: Settings, store: Store, progress: Progress
) -> list[SearchRow]:
    """Try the points of `settings.search` for every trial of the grid (first seed); best first for each.

    Args:
        questions: QUESTIONS.
        training: TRAINING.
        settings: of the run.
        store: the run directory.
        progress: shows the trials.

    Raises:
        SettingsError: there is no validation part, or Optuna is asked for without Ray.
    """
    students = settings.students
    if not students.validation_fraction or students.checkpoint_selection != "validation":
        raise SettingsError(
            "A search needs validation questions to choose by.",
            "Set students.validation_fraction (0.2, say) and students.checkpoint_selection to validation.",
        )
    one_seed = students.model_copy(update={"seeds": students.seeds[:1]})
    bases, others = grid.plan(questions, training, settings.model_copy(update={"students": one_seed}), store)
    search_rows = []
    for row in others:
        if METHODS[row.method].is_trained:  # it cannot be trained
            search_rows.append(SearchRow(row.task, row.student, row.method, row.degree, row.trial, error=row.error))
    for base in bases:
        with progress.stage("search", total=len(points(settings.search)), unit="trials") as stage:
            tried = _search(base, settings, store, stage)
            note = f"{base.student} · {base.task} · {base.method}: {len(tried)} trials"
            if tried and tried[0].validation_accuracy is not None:
                note += f", best {tried[0].validation_accuracy:.1%}"
            stage.finish(note)
        search_rows += tried
    return search_rows


def _search(base: Trial, settings: Settings, store: Store, stage: Stage) -> list[SearchRow]:
    """Try the points of one trial of the grid; best first."""
    uses_optuna = settings.search.algorithm == "optuna"
    planned = points(settings.search)
    if uses_optuna:
        finished = _finished(base, suggested_points(base, store), store)
        pending = planned[len(finished) :]  # Optuna chooses other points, but as many
    else:
        finished = _finished(base, planned, store)
        pending = [point for point in planned if point not in finished]
    pending_trials = [vary(base, point) for point in pending]
    trial_files.forget_failures(pending_trials, store)
    stage.update(len(planned) - len(pending))
    if pending and schedule.runs_in_process(settings):
        if uses_optuna:
            raise SettingsError("search.algorithm optuna needs Ray.", "Leave --local out, or take grid or random.")
        schedule.run_in_process(pending_trials, store, stage)
    elif pending:
        _tune(base, pending, settings, store, stage)
    tried = suggested_points(base, store) if uses_optuna else planned
    return sorted((_row(base, point, store) for point in tried), key=_rank)


def _finished(base: Trial, tried: Sequence[SearchPoint], store: Store) -> list[SearchPoint]:
    """Return the points whose trials were trained to their end, or ended early."""
    finished = []
    for point in tried:
        if trial_files.read_outcome(vary(base, point), store) is not None:
            finished.append(point)
    return finished


def _tune(base: Trial, pending: list[SearchPoint], settings: Settings, store: Store, stage: Stage) -> None:
    """Let Tune run the pending points of one trial of the grid, or as many that Optuna suggests."""
    from ray import tune

    options: dict[str, Any] = {"metric": METRIC, "mode": "max"}
    if settings.search.early_stopping:
        from raydistill.students.early_stopping import CooperativeASHA

        options["scheduler"] = CooperativeASHA(store.path, settings.students.num_train_epochs)
    if settings.search.algorithm == "optuna":
        make_trial = partial(suggested_trial, base)
        space, options["search_alg"] = optuna_search(settings.search, _accuracies(base, store))
        options["num_samples"] = len(pending)
    else:
        make_trial = partial(_pending_trial, base, pending)
        space = {"index": tune.grid_search(list(range(len(pending))))}
    schedule.run_with_tune(make_trial, space, settings, store, stage, **options)
    tried = suggested_points(base, store) if settings.search.algorithm == "optuna" else pending
    for point in tried:
        store.delete(f"{vary(base, point).folder}/ray")


def _pending_trial(base: Trial, pending: list[SearchPoint], config: schedule.TunePoint) -> Trial:
    return vary(base, pending[config["index"]])


def _accuracies(base: Trial, store: Store) -> list[tuple[SearchPoint, float]]:
    """Return the points that Optuna tried before and their validation accuracies."""
    accuracies = []
    for point in suggested_points(base, store):
        accuracy = _row(base, point, store).validation_accuracy
        if accuracy is not None:
            accuracies.append((point, accuracy))
    return accuracies


def _row(base: Trial, point: SearchPoint, store: Store) -> SearchRow:
    """Return what a point gave, from the files of its trial."""
    trial = vary(base, point)
    outcome = trial_files.read_outcome(trial, store)
    row = SearchRow(
        trial.task,
        trial.student,
        trial.method,
        trial.degree,
        trial.key,
        **point._asdict(),
        stopped=outcome is not None and outcome.stopped,
        error=trial_files.read_error(trial, store),
    )
    evaluated = [epoch for epoch in outcome.epochs if epoch.validation_accuracy is not None] if outcome else []
    if not evaluated:
        return row
    best = max(evaluated, key=_score)
    return row._replace(
        epoch=best.epoch, validation_accuracy=best.validation_accuracy, validation_loss=best.validation_loss
    )


def _score(epoch: Epoch) -> tuple[float, float]:
    """Return what epochs of one trial are compared by."""
    return epoch.validation_accuracy or 0.0, -(epoch.validation_loss or 0.0)


def _rank(row: SearchRow) -> tuple[float, float]:
    """Return the sort key of a row: the most accurate first, then the smallest validation loss."""
    accuracy = -1.0 if row.validation_accuracy is None else row.validation_accuracy
    return -accuracy, row.validation_loss or math.inf

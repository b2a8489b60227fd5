"""The grid of students: student × task × method × degree × seed, each trained once.

A trial's name is a hash of everything that its weights depend on, and `students/<trial>/metrics.json` is written last:
a trial that has one is never trained again, whatever else changes in the run. Ray Tune schedules the others; the table
is built from what the trials wrote, not from what Tune remembers.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings, StudentSettings
from raydistill.method.methods import METHODS, UNTRAINED
from raydistill.runtime.errors import SettingsError, UserError
from raydistill.runtime.files import identity
from raydistill.runtime.progress import Progress, Stage
from raydistill.runtime.store import Store, fingerprint
from raydistill.students import schedule, trial_files
from raydistill.students.models import check, locate
from raydistill.students.records import StudentRow, student_table
from raydistill.students.trial import GridPoint, Trial, make_trial, weight_settings


def train(questions: pa.Table, training: pa.Table, settings: Settings, store: Store, progress: Progress) -> pa.Table:
    """Train every trial that is not finished; returns STUDENTS, failed trials as rows with `error`.

    Args:
        questions: QUESTIONS of all tasks.
        training: TRAINING of all tasks.
        settings: of the run.
        store: the run directory.
        progress: shows the trials.

    Raises:
        SettingsError: this machine has too few CPUs or GPUs for one trial, or a tracker is not installed.
    """
    trials, rows = plan(questions, training, settings, store)
    unfinished = [trial for trial in trials if not trial_files.is_finished(trial, store)]
    trial_files.forget_failures(unfinished, store)
    with progress.stage("students", total=len(trials), unit="trials") as stage:
        stage.update(len(trials) - len(unfinished))
        if unfinished and schedule.runs_in_process(settings):
            schedule.run_in_process(unfinished, store, stage)
        elif unfinished:
            _train_on_ray(unfinished, settings, store, stage)
        rows += [_row(trial, store) for trial in trials]
        stage.finish(_summary(rows, trained=len(unfinished), kept=len(trials) - len(unfinished)))
    rows.sort(key=lambda row: (row.task, row.student, row.method, row.degree, row.seed))
    return student_table(rows)


def _summary(rows: Sequence[StudentRow], *, trained: int, kept: int) -> str:
    """Return the sentence that stays when the stage is done."""
    failed = sum(row.error != "" for row in rows)
    parts = [f"{trained} trained"]
    if kept:
        parts.append(f"{kept} were finished before")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def plan(
    questions: pa.Table, training: pa.Table, settings: Settings, store: Store
) -> tuple[list[Trial], list[StudentRow]]:
    """Return the trials to train, and rows of STUDENTS that need no training.

    Those are untrained students and what cannot be trained (`error` says why).

    Args:
        questions: QUESTIONS of all tasks.
        training: TRAINING of all tasks.
        settings: of the run.
        store: the run directory.

    Raises:
        SettingsError: a tracker is not installed.
    """
    students = settings.students
    _check_trackers(students)
    tasks = sorted(set(questions["task"].to_pylist()))
    trials: list[Trial] = []
    rows: list[StudentRow] = []
    for name in students.models:
        location, error = _locate(name)
        for task in tasks:
            rows += _untrained_rows(name, location, task, error, students)
        for point in _points(name, location, tasks, students):
            trial = make_trial(point, questions, training, students, store.path)
            reason = error or _why_untrainable(trial, training)
            if reason:
                rows.append(replace(_row_of(trial), error=reason))
            else:
                trials.append(trial)
    return trials, rows


def _check_trackers(students: StudentSettings) -> None:
    for tracker in students.report_to:
        # TensorBoard's files are written by tensorboardX, which comes with Ray Tune.
        if tracker != "tensorboard" and importlib.util.find_spec(tracker) is None:
            raise SettingsError(f"students.report_to {tracker}: {tracker} is not installed.", f"pip install {tracker}")


def _locate(name: str) -> tuple[str, str]:
    """Return where the student is, or "" and why it cannot be opened."""
    try:
        location = locate(name)
        check(location)
    except UserError as error:
        return "", str(error)
    return location, ""


def _untrained_rows(name: str, location: str, task: str, error: str, students: StudentSettings) -> Iterator[StudentRow]:
    """Yield a row for each way in which the settings have a student evaluated as it comes."""
    for method in UNTRAINED:
        if getattr(students, f"evaluate_{method}"):
            trial = fingerprint(method, identity(name), task)[:16]
            yield StudentRow(trial, task, method, 0, name, 0, checkpoint=location, error=error)


def _points(name: str, location: str, tasks: Sequence[str], students: StudentSettings) -> Iterator[GridPoint]:
    """Yield the grid points of one student: tasks × methods × degrees × seeds."""
    for task in tasks:
        for method in students.methods:
            # Answers alone need no rationales, so there is no degree of them.
            degrees = sorted(set(students.degrees)) if METHODS[method].asks_teacher else [1]
            for degree in degrees:
                for seed in students.seeds:
                    yield GridPoint(name, location, task, method, degree, seed)


def _why_untrainable(trial: Trial, training: pa.Table) -> str:
    """Return why there is nothing to train the trial on; "" if there is something."""
    if trial.rows.num_rows:
        return ""
    is_task = pc.field("task") == trial.task
    is_method = pc.field("method") == trial.method
    is_degree = pc.field("degree") == trial.degree
    candidates = training.filter(is_task & is_method & is_degree)
    reasons = []
    for count in pc.value_counts(candidates["reason"]).to_pylist():
        if count["values"]:
            reasons.append(f"{count['counts']} × {count['values']}")
    why = ", ".join(reasons) or "there was no candidate"
    return (
        f"No training row was kept for {trial.task}, {trial.method}, D={trial.degree} ({why}): "
        "there is nothing to learn from."
    )


def _train_on_ray(trials: list[Trial], settings: Settings, store: Store, stage: Stage) -> None:
    from ray import tune

    space = {"index": tune.grid_search(list(range(len(trials))))}
    schedule.run_with_tune(partial(_trial_at, trials), space, settings, store, stage)
    for trial in trials:
        if trial_files.is_finished(trial, store):
            store.delete(f"{trial.folder}/ray")


def _trial_at(trials: list[Trial], config: schedule.TunePoint) -> Trial:
    return trials[config["index"]]


def _row(trial: Trial, store: Store) -> StudentRow:
    """Return the row of a trial from the files that it wrote."""
    settings = json.dumps(weight_settings(trial.settings), sort_keys=True)
    row = replace(_row_of(trial), train_rows=trial.rows.num_rows, settings=settings)
    outcome = trial_files.read_outcome(trial, store)
    if outcome is None or outcome.stopped:
        missing = (
            f"The worker left nothing in {store.path}/{trial.folder}: on several nodes the run directory must be one "
            "that all of them share (run_dir: a URI or a network file system)."
        )
        return replace(row, error=trial_files.read_error(trial, store) or missing)
    return replace(
        row,
        steps=outcome.steps,
        train_seconds=outcome.train_seconds,
        train_tokens=outcome.train_tokens,
        epochs=outcome.epochs,
        checkpoint=f"{store.path}/{trial.folder}/model",
    )


def _row_of(trial: Trial) -> StudentRow:
    """Return the row of a trial of which nothing else is known."""
    return StudentRow(trial.key, trial.task, trial.method, trial.degree, trial.student, trial.seed)

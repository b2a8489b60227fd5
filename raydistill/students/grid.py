"""The grid of students: student × task × method × degree × seed, each trained once.

A trial's name is a hash of everything that its weights depend on, and `students/<trial>/metrics.json` is written last:
a trial that has one is never trained again, whatever else changes in the run. Ray Tune schedules the others; the table
is built from what the trials wrote, not from what Tune remembers.
"""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Affects, Settings, StudentSettings
from raydistill.method.methods import UNTRAINED
from raydistill.runtime.errors import SettingsError, UserError
from raydistill.runtime.files import identity
from raydistill.runtime.progress import Progress, Stage
from raydistill.runtime.store import Store, content_hash, fingerprint
from raydistill.students import schedule
from raydistill.students.models import check, locate
from raydistill.students.trial import STOP, Trial
from raydistill.tables import STUDENTS


def train(questions: pa.Table, training: pa.Table, settings: Settings, store: Store, progress: Progress) -> pa.Table:
    """Train every trial that is not finished; returns STUDENTS, failed trials as rows with `error`.

    Raises:
        SettingsError: this machine has too few CPUs or GPUs for one trial, or a tracker is not installed.
    """
    trials, rows = plan(questions, training, settings, store)
    unfinished = [t for t in trials if store.read_text(f"{t.folder}/metrics.json") is None]
    forget_failures(unfinished, store)
    with progress.stage("students", total=len(trials), unit="trials") as stage:
        stage.update(len(trials) - len(unfinished))
        if unfinished:
            in_process = settings.local or settings.students.num_workers == 0
            if in_process:
                schedule.here(unfinished, store, stage)
            else:
                _train_on_ray(unfinished, settings, store, stage)
        rows += [_row(trial, store) for trial in trials]
        failed = sum(r["error"] != "" for r in rows)
        kept = len(trials) - len(unfinished)
        stage.finish(
            f"{len(unfinished)} trained"
            + (f", {kept} were finished before" if kept else "")
            + (f", {failed} failed" if failed else "")
        )
    rows.sort(key=lambda r: (r["task"], r["student"], r["method"], r["degree"], r["seed"]))
    return pa.Table.from_pylist(rows, schema=STUDENTS)


def plan(
    questions: pa.Table, training: pa.Table, settings: Settings, store: Store
) -> tuple[list[Trial], list[dict[str, Any]]]:
    """The trials to train, and the STUDENTS rows that need none: untrained students and what cannot be trained.

    Raises:
        SettingsError: a tracker is not installed.
    """
    students = settings.students
    for tracker in students.report_to:
        # TensorBoard's files are written by tensorboardX, which comes with Ray Tune.
        if tracker != "tensorboard" and importlib.util.find_spec(tracker) is None:
            raise SettingsError(f"students.report_to {tracker}: {tracker} is not installed.", f"pip install {tracker}")
    trials: list[Trial] = []
    rows: list[dict[str, Any]] = []
    for name in students.models:
        location, error = _open_up(name)
        for task in sorted(set(questions["task"].to_pylist())):
            for method in UNTRAINED:
                if getattr(students, f"evaluate_{method}"):
                    base = fingerprint(method, identity(name), task)[:16]
                    rows.append(_empty_row(base, task, method, 0, name, 0) | {"checkpoint": location, "error": error})
            for method in students.methods:
                for degree in [1] if method == "vanilla" else sorted(set(students.degrees)):
                    texts = _kept(training, task, method, degree)
                    for seed in students.seeds:
                        trial = _trial(
                            questions, texts, students, name, location, task, method, degree, seed, store.path
                        )
                        why = error or _untrainable(trial, training)
                        if why:
                            row = _empty_row(trial.trial, task, method, degree, name, seed)
                            rows.append(row | {"error": why})
                        else:
                            trials.append(trial)
    return trials, rows


def _open_up(name: str) -> tuple[str, str]:
    """Where the student is, or why it cannot be had."""
    try:
        location = locate(name)
        check(location)
    except UserError as error:
        return "", str(error)
    return location, ""


def _kept(training: pa.Table, task: str, method: str, degree: int) -> pa.Table:
    chosen = (
        (pc.field("task") == task) & (pc.field("method") == method) & (pc.field("degree") == degree) & pc.field("kept")
    )
    return training.filter(chosen).select(["question_id", "question", "rationale", "answer"])


def _trial(
    questions: pa.Table,
    texts: pa.Table,
    students: StudentSettings,
    name: str,
    location: str,
    task: str,
    method: str,
    degree: int,
    seed: int,
    run: str,
) -> Trial:
    if students.canonical_answers:
        texts = _canonical(texts, questions)
    of_task = questions.filter(pc.field("task") == task)
    # Of all train questions, not of those that the teacher got right: else methods are judged on other, easier ones.
    ids = sorted(of_task.filter(pc.field("split") == "train")["question_id"].to_pylist())
    Random(f"validation/{seed}").shuffle(ids)
    count = (
        max(1, round(students.validation_fraction * len(ids))) if students.validation_fraction and len(ids) > 1 else 0
    )
    withheld = pa.array(sorted(ids[:count]), pa.string())
    held_out = pc.is_in(texts["question_id"], withheld)
    test = of_task.filter(pc.field("split") == "test") if students.evaluate_every_epoch else of_task.slice(0, 0)
    learned = students.affecting(Affects.RESULT)
    if (
        students.checkpoint_selection != "last"
    ):  # then answers decide which epoch's weights are kept, and these decide the answers
        learned |= students.affecting(Affects.PREDICTIONS)
    key = fingerprint(
        [identity(name), task, method, degree, seed, learned | {"num_workers": max(1, students.num_workers)}],
        [content_hash(texts), content_hash(test), withheld.to_pylist()],
    )
    return Trial(
        trial=key[:16],
        task=task,
        method=method,
        degree=degree,
        student=name,
        location=location,
        seed=seed,
        settings=students,
        run=run,
        rows=texts.filter(pc.invert(held_out)),
        held_out=texts.filter(held_out),
        validation=of_task.filter(pc.is_in(of_task["question_id"], withheld)),
        test=test,
    )


def _canonical(texts: pa.Table, questions: pa.Table) -> pa.Table:
    from raydistill.method import answers

    kinds = dict(zip(questions["question_id"].to_pylist(), questions["answer_type"].to_pylist(), strict=True))
    pairs = zip(texts["answer"].to_pylist(), texts["question_id"].to_pylist(), strict=True)
    column = pa.array([answers.canonical(answer, kinds[i]) for answer, i in pairs], pa.string())
    return texts.set_column(texts.column_names.index("answer"), "answer", column)


def _untrainable(trial: Trial, training: pa.Table) -> str:
    if trial.rows.num_rows:
        return ""
    asked = training.filter(
        (pc.field("task") == trial.task) & (pc.field("method") == trial.method) & (pc.field("degree") == trial.degree)
    )
    reasons = [f"{v['counts']} × {v['values']}" for v in pc.value_counts(asked["reason"]).to_pylist() if v["values"]]
    return (
        f"No training row was kept for {trial.task}, {trial.method}, D={trial.degree} "
        f"({', '.join(reasons) or 'there was no candidate'}): there is nothing to learn from."
    )


def _train_on_ray(trials: list[Trial], settings: Settings, store: Store, stage: Stage) -> None:
    from ray import tune

    space = {"index": tune.grid_search(list(range(len(trials))))}
    schedule.on_ray(partial(_nth, trials), space, settings, store, stage)
    for trial in trials:
        if store.read_text(f"{trial.folder}/metrics.json") is not None:
            store.delete(f"{trial.folder}/ray")


def _nth(trials: list[Trial], config: dict[str, Any]) -> Trial:
    return trials[config["index"]]


def _row(trial: Trial, store: Store) -> dict[str, Any]:
    """The STUDENTS row of a trial from the files that it wrote."""
    row = _empty_row(trial.trial, trial.task, trial.method, trial.degree, trial.student, trial.seed)
    row["train_rows"] = trial.rows.num_rows
    row["settings"] = json.dumps(trial.settings.affecting(Affects.RESULT), sort_keys=True)
    text = store.read_text(f"{trial.folder}/metrics.json")
    if text is None:
        error = store.read_text(f"{trial.folder}/error.txt")
        missing = (
            f"The worker left nothing in {store.path}/{trial.folder}: on several nodes the run directory must be one "
            "that all of them share (run_dir: a URI or a network file system)."
        )
        return row | {"error": error or missing}
    metrics = json.loads(text)
    names = ("steps", "train_seconds", "train_tokens", "epochs")
    return row | {n: metrics[n] for n in names} | {"checkpoint": f"{store.path}/{trial.folder}/model"}


def _empty_row(trial: str, task: str, method: str, degree: int, student: str, seed: int) -> dict[str, Any]:
    return {
        "trial": trial,
        "task": task,
        "method": method,
        "degree": degree,
        "student": student,
        "seed": seed,
        "settings": "{}",
        "train_rows": 0,
        "steps": 0,
        "train_seconds": 0.0,
        "train_tokens": 0,
        "epochs": [],
        "checkpoint": "",
        "error": "",
    }


def forget_failures(trials: list[Trial], store: Store) -> None:
    """Before trials are tried again: why they failed, and that a search that was killed had told them to end."""
    for trial in trials:
        for name in ("error.txt", "traceback.txt", STOP):
            store.delete(f"{trial.folder}/{name}")

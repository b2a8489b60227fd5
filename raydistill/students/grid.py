"""The grid of students: student × task × method × degree × seed, each trained once.

A trial's name is a hash of everything that its weights depend on, and `students/<trial>/metrics.json` is written last:
a trial that has one is never trained again, whatever else changes in the run. Ray Tune schedules the others; the table
is built from what the trials wrote, not from what Tune remembers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
import traceback
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from raydistill.config import UNTRAINED, Settings, StudentSettings
from raydistill.errors import SettingsError, UserError
from raydistill.progress import Progress, Stage
from raydistill.store import Store, content_hash, fingerprint, identity
from raydistill.students.models import check, locate
from raydistill.students.trial import STOP, Trial
from raydistill.tables import STUDENTS

# Settings that say which trials there are, where they run or how they are judged, but not what one learns.
_NOT_LEARNED = {
    *("models", "methods", "degrees", "seeds", "untrained", "untrained_cot", "concurrent_trials"),
    *("cpus_per_worker", "gpus_per_worker", "restarts", "workers", "sharding", "checkpoint_after_s", "trackers"),
    *("push_to_hub", "max_new_tokens", "answer_tokens", "generation_batch"),
}
PLACE = "ray/place"  # in a trial's folder: the id of the placement group that its workers have
DRIVER = {"node:__internal_head__": 0.001}  # a trial's driver only waits: on the head node, without a CPU


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
            in_process = settings.local or settings.students.workers == 0
            if in_process:
                train_here(unfinished, store, stage)
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
    for tracker in students.trackers:
        # TensorBoard's files are written by tensorboardX, which comes with Ray Tune.
        if tracker != "tensorboard" and importlib.util.find_spec(tracker) is None:
            raise SettingsError(f"students.trackers {tracker}: {tracker} is not installed.", f"pip install {tracker}")
    trials: list[Trial] = []
    rows: list[dict[str, Any]] = []
    for name in students.models:
        location, error = _open_up(name)
        for task in sorted(set(questions["task"].to_pylist())):
            for method in UNTRAINED:
                if getattr(students, method):
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
    count = max(1, round(students.validation_share * len(ids))) if students.validation_share and len(ids) > 1 else 0
    withheld = pa.array(sorted(ids[:count]), pa.string())
    held_out = pc.is_in(texts["question_id"], withheld)
    test = of_task.filter(pc.field("split") == "test") if students.evaluate_every_epoch else of_task.slice(0, 0)
    learned = students.model_dump(mode="json", exclude=_NOT_LEARNED)
    if students.select != "last":  # then answers decide which epoch's weights are kept, and these decide the answers
        learned |= {name: getattr(students, name) for name in ("max_new_tokens", "answer_tokens")}
    key = fingerprint(
        [identity(name), task, method, degree, seed, learned, max(1, students.workers)],
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
    from raydistill import answers

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


def train_here(trials: list[Trial], store: Store, stage: Stage) -> None:
    """One after another in this process, through Ray Train's local mode: breakpoints work, Ray is not started."""
    import ray.train
    import torch
    from ray.train.torch import TorchTrainer

    from raydistill import cluster

    cluster.quiet()
    for trial in trials:
        config = {"trial": trial, "gpu": torch.cuda.is_available(), "in_process": True, "hear": _show(stage)}
        try:
            TorchTrainer(_learn, train_loop_config=config, scaling_config=ray.train.ScalingConfig(num_workers=0)).fit()
        except Exception as error:  # this trial's own failure; others go on
            store.write_text(f"{trial.folder}/error.txt", f"{type(error).__name__}: {error}")
            store.write_text(f"{trial.folder}/traceback.txt", traceback.format_exc())
        stage.update(stage.done + 1)


def _train_on_ray(trials: list[Trial], settings: Settings, store: Store, stage: Stage) -> None:
    from ray import tune

    space = {"index": tune.grid_search(list(range(len(trials))))}
    schedule(partial(_nth, trials), space, settings, store, stage)
    for trial in trials:
        if store.read_text(f"{trial.folder}/metrics.json") is not None:
            forget(store, f"{trial.folder}/ray")


def _nth(trials: list[Trial], config: dict[str, Any]) -> Trial:
    return trials[config["index"]]


def schedule(
    make: Callable[[dict[str, Any]], Trial],
    space: dict[str, Any],
    settings: Settings,
    store: Store,
    stage: Stage,
    **how: Any,
) -> None:
    """Let Tune run the trials that `make` makes of points in `space`, each a driver around one TorchTrainer.

    At most as many at once as fit: trials that wait for each other's resources would wait for ever. `how` goes to
    TuneConfig (metric, scheduler, search_alg, num_samples).
    """
    from ray import tune

    needs = resources(settings)
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends the run, not just the trials
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # within the first epoch there is no metric yet
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output prints a table even where verbose is 0
    trainable = tune.with_parameters(_drive, make=make, needs=needs, own=_own_machine(settings))
    tuner = tune.Tuner(
        tune.with_resources(trainable, DRIVER),
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=min(needs.at_once, settings.students.concurrent_trials), **how
        ),
        run_config=tune.RunConfig(
            name=".tune",
            storage_path=_uri(store, "students"),
            verbose=0,
            callbacks=[_callback(stage, lambda config: _give_back(make(config), store))],
        ),
    )
    try:
        results = tuner.fit()
        for ended in (results[i] for i in range(len(results))):
            # Not the training's own failure, which is told already, but Ray's around it.
            if ended.error is not None and ended.config is not None:
                trial = make(ended.config)
                if not any(store.read_text(f"{trial.folder}/{n}") for n in ("metrics.json", "error.txt")):
                    said = f"Ray ended this trial from outside ({_cause(ended.error)}): give the command again."
                    store.write_text(f"{trial.folder}/error.txt", said)
                    store.write_text(f"{trial.folder}/traceback.txt", str(ended.error))
    finally:  # what is finished, and what is to be gone on with, lies in the trials' own folders
        forget(store, "students/.tune")


def _drive(config: dict[str, Any], make: Callable[[dict[str, Any]], Trial], needs: Needs, own: bool) -> None:
    """One Tune trial: a TorchTrainer of `students.workers` workers; its failure becomes the trial's `error.txt`."""
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import FailureConfig  # what ray.train.FailureConfig is at run time
    from ray.tune.integration.ray_train import TuneReportCallback

    from raydistill import cluster

    trial = make(config)
    students: StudentSettings = trial.settings
    store = Store(trial.run)
    per_worker = {"CPU": needs.cpus} | ({"GPU": needs.gpus} if needs.gpus else {})
    trainer = TorchTrainer(
        _learn,
        train_loop_config={"trial": trial, "gpu": needs.gpus > 0},
        scaling_config=ray.train.ScalingConfig(
            num_workers=students.workers, use_gpu=needs.gpus > 0, resources_per_worker=per_worker
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]
            name="ray",  # the same name goes on from the last epoch
            storage_path=_uri(store, trial.folder),
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
            # Elsewhere than on one's own machine, nodes may still have to be started: wait for them.
            failure_config=FailureConfig(max_failures=students.restarts, controller_failure_limit=3 if own else -1),
            worker_runtime_env={"env_vars": {} if needs.gpus else cluster.allocator()},
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        store.write_text(f"{trial.folder}/error.txt", _cause(error))
        store.write_text(f"{trial.folder}/traceback.txt", str(error))


def _learn(config: dict[str, Any]) -> None:
    """`train.fit`, imported where it runs: drivers and controllers start without what only workers need."""
    from raydistill.students.train import fit

    if not config.get("in_process"):
        _note_place(config["trial"])
    fit(config)


def _note_place(trial: Trial) -> None:
    import ray.train

    group = ray.util.get_current_placement_group()
    if group and ray.train.get_context().get_world_rank() == 0:
        Store(trial.run).write_text(f"{trial.folder}/{PLACE}", group.id.hex())


def _give_back(trial: Trial, store: Store) -> None:
    """Free the CPUs and GPUs of a trial whose driver has died.

    Ray Train's own cleaner asks the dashboard whether the driver lives, and a Ray that we start has none.
    """
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    held = store.read_text(f"{trial.folder}/{PLACE}")
    if held:
        time.sleep(1)  # the training's controller goes with its driver; before, it would ask for others
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(held))))


def _cause(error: Any) -> str:
    """The first worker's own exception in one line, rather than Ray's stack of them."""
    failures = getattr(error, "worker_failures", None) or {0: getattr(error, "controller_failure", error)}
    first = failures[min(failures)]
    first = getattr(first, "cause", None) or getattr(first, "_cause", None) or first
    lines = [line for line in str(first).strip().splitlines() if line.strip()] or [type(first).__name__]
    return lines[-1] if "Traceback" in str(first) else lines[0]


class Needs(NamedTuple):
    """What one worker takes, and how many trials fit at once."""

    cpus: float
    gpus: float
    at_once: int


def resources(settings: Settings) -> Needs:
    """What the settings ask for, or what the machine suggests.

    Raises:
        SettingsError: not one trial fits on a machine that will not grow.
    """
    import ray

    students = settings.students
    total = ray.cluster_resources()
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    largest = max(n.get("CPU", 0) for n in nodes)
    wanted = max(1, students.workers * students.concurrent_trials)
    cpus = students.cpus_per_worker or max(1.0, min(largest, total.get("CPU", 0) // wanted))
    gpus = students.gpus_per_worker if students.gpus_per_worker is not None else float(total.get("GPU", 0) >= 1)
    fits = []
    for name, amount in (("CPU", cpus), ("GPU", gpus)):
        if not amount:
            continue
        fits.append(sum(int(n.get(name, 0) / amount + 1e-6) for n in nodes) // students.workers)
        if not fits[-1] and _own_machine(settings):
            setting = f"students.{name.lower()}s_per_worker"
            raise SettingsError(
                f"A trial needs students.workers {students.workers} × {setting} {amount:g}, "
                f"but Ray has {total.get(name, 0):g} {name}s here.",
                f"Lower students.workers or {setting}, or connect to a cluster with ray.address.",
            )
    # A cluster may grow: what does not fit yet is asked for, and the autoscaler answers.
    return Needs(cpus, gpus, max(1, min(fits)) if _own_machine(settings) else students.concurrent_trials)


def _own_machine(settings: Settings) -> bool:
    return not (settings.ray.address or os.environ.get("RAY_ADDRESS"))


def _show(stage: Stage) -> Callable[[dict[str, Any]], None]:
    def show(report: dict[str, Any]) -> None:
        step, steps = report["step"], report["steps"]
        stage.update(part=step / steps, step=f"{step}/{steps}", loss=report["loss"])

    return show


def _callback(stage: Stage, died: Callable[[dict[str, Any]], None]) -> Any:
    """Tune's reports on the progress line; `died` is called with the point of a trial that Ray lost."""
    from ray import tune

    class Shown(tune.Callback):
        def __init__(self, stage: Stage, died: Callable[[dict[str, Any]], None]) -> None:
            self.stage: Stage | None = stage
            self.died: Callable[[dict[str, Any]], None] | None = died

        def __getstate__(self) -> dict[str, Any]:
            return {"stage": None, "died": None}  # Tune saves its callbacks; a terminal cannot be saved

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
            if self.stage and "step" in result:
                _show(self.stage)(result)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            if self.stage:
                self.stage.update(self.stage.done + 1)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            if self.died:
                self.died(trial.config)
            self.on_trial_complete(iteration, trials, trial)

    return Shown(stage, died)


def _row(trial: Trial, store: Store) -> dict[str, Any]:
    """The STUDENTS row of a trial from the files that it wrote."""
    row = _empty_row(trial.trial, trial.task, trial.method, trial.degree, trial.student, trial.seed)
    row["train_rows"] = trial.rows.num_rows
    row["settings"] = json.dumps(trial.settings.model_dump(mode="json", exclude=_NOT_LEARNED), sort_keys=True)
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


def _uri(store: Store, name: str) -> str:
    return f"{store.path}/{name}"


def forget_failures(trials: list[Trial], store: Store) -> None:
    """Before trials are tried again: why they failed, and that a search that was killed had told them to end."""
    for trial in trials:
        for name in ("error.txt", "traceback.txt", STOP):
            forget(store, f"{trial.folder}/{name}")


def forget(store: Store, name: str) -> None:
    """Delete a file or folder of the run directory, if it is there."""
    path = f"{store.root}/{name}"
    kind = store.fs.get_file_info(path).type
    if kind == pafs.FileType.File:
        store.fs.delete_file(path)
    elif kind == pafs.FileType.Directory:
        store.fs.delete_dir(path)

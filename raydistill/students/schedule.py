"""How trials run: one after another in this process, or as many at once as fit, by Ray Tune around Ray Train.

What a trial gave, or why it failed, is in its own folder; nothing that Ray remembers is needed afterwards.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from raydistill.config import Settings, StudentSettings
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.progress import Stage
from raydistill.runtime.store import Store
from raydistill.students.trial import Trial

PLACE = "ray/place"  # in a trial's folder: the id of the placement group that its workers have
DRIVER = {"node:__internal_head__": 0.001}  # a trial's driver only waits: on the head node, without a CPU


def here(trials: list[Trial], store: Store, stage: Stage) -> None:
    """One after another in this process, through Ray Train's local mode: breakpoints work, Ray is not started."""
    import ray.train
    import torch
    from ray.train.torch import TorchTrainer

    from raydistill.runtime import cluster

    cluster.quiet()
    for trial in trials:
        config = {"trial": trial, "gpu": torch.cuda.is_available(), "in_process": True, "hear": _show(stage)}
        try:
            TorchTrainer(_learn, train_loop_config=config, scaling_config=ray.train.ScalingConfig(num_workers=0)).fit()
        except Exception as error:  # this trial's own failure; others go on
            store.write_text(f"{trial.folder}/error.txt", f"{type(error).__name__}: {error}")
            store.write_text(f"{trial.folder}/traceback.txt", traceback.format_exc())
        stage.update(stage.done + 1)


def on_ray(
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
            max_concurrent_trials=min(needs.at_once, settings.students.max_concurrent_trials), **how
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
        store.delete("students/.tune")


def _drive(config: dict[str, Any], make: Callable[[dict[str, Any]], Trial], needs: Needs, own: bool) -> None:
    """One Tune trial: a TorchTrainer of `students.num_workers` workers; its failure becomes the trial's `error.txt`."""
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import FailureConfig  # what ray.train.FailureConfig is at run time
    from ray.tune.integration.ray_train import TuneReportCallback

    from raydistill.runtime import cluster

    trial = make(config)
    students: StudentSettings = trial.settings
    store = Store(trial.run)
    per_worker = {"CPU": needs.cpus} | ({"GPU": needs.gpus} if needs.gpus else {})
    trainer = TorchTrainer(
        _learn,
        train_loop_config={"trial": trial, "gpu": needs.gpus > 0},
        scaling_config=ray.train.ScalingConfig(
            num_workers=students.num_workers, use_gpu=needs.gpus > 0, resources_per_worker=per_worker
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]
            name="ray",  # the same name goes on from the last epoch
            storage_path=_uri(store, trial.folder),
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
            # Elsewhere than on one's own machine, nodes may still have to be started: wait for them.
            failure_config=FailureConfig(max_failures=students.max_failures, controller_failure_limit=3 if own else -1),
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
    wanted = max(1, students.num_workers * students.max_concurrent_trials)
    cpus = students.cpus_per_worker or max(1.0, min(largest, total.get("CPU", 0) // wanted))
    gpus = students.gpus_per_worker if students.gpus_per_worker is not None else float(total.get("GPU", 0) >= 1)
    fits = []
    for name, amount in (("CPU", cpus), ("GPU", gpus)):
        if not amount:
            continue
        fits.append(sum(int(n.get(name, 0) / amount + 1e-6) for n in nodes) // students.num_workers)
        if not fits[-1] and _own_machine(settings):
            setting = f"students.{name.lower()}s_per_worker"
            raise SettingsError(
                f"A trial needs students.num_workers {students.num_workers} × {setting} {amount:g}, "
                f"but Ray has {total.get(name, 0):g} {name}s here.",
                f"Lower students.num_workers or {setting}, or connect to a cluster with ray.address.",
            )
    # A cluster may grow: what does not fit yet is asked for, and the autoscaler answers.
    return Needs(cpus, gpus, max(1, min(fits)) if _own_machine(settings) else students.max_concurrent_trials)


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


def _uri(store: Store, name: str) -> str:
    return f"{store.path}/{name}"

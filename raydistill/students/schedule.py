"""How trials run: one after another in this process, or as many at once as fit, by Ray Tune around Ray Train.

What a trial gave, or why it failed, is in its own folder; nothing that Ray remembers is needed afterwards.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from raydistill.config import Settings
from raydistill.runtime import ray_internals
from raydistill.runtime.progress import Stage
from raydistill.runtime.store import Store
from raydistill.students import trial_files
from raydistill.students.reports import FitConfig, Report
from raydistill.students.trial import Trial
from raydistill.students.trial_files import PLACEMENT_GROUP_FILE
from raydistill.students.trial_resources import TrialResources, is_own_machine, trial_resources

if TYPE_CHECKING:
    from ray.tune import Result

TunePoint: TypeAlias = dict[str, Any]
"""A point of Tune's search space."""

TrialMaker: TypeAlias = Callable[[TunePoint], Trial]
"""Makes the trial of a point of Tune's search space; pickled, and called again where the trial runs."""


def runs_in_process(settings: Settings) -> bool:
    """Return True if trials run in this process, without Ray."""
    return settings.local or settings.students.num_workers == 0


def run_in_process(trials: list[Trial], store: Store, stage: Stage) -> None:
    """Run trials one after another through Ray Train's local mode: breakpoints work, Ray is not started."""
    import ray.train
    import torch
    from ray.train.torch import TorchTrainer

    from raydistill.runtime import quiet
    from raydistill.students.tune_callback import show_report

    def on_report(report: Report, checkpoint: Path | None) -> None:
        show_report(stage, report)

    quiet.silence_loggers()
    for trial in trials:
        config: FitConfig = {
            "trial": trial,
            "gpu": torch.cuda.is_available(),
            "in_process": True,
            "on_report": on_report,
        }
        scaling_config = ray.train.ScalingConfig(num_workers=0)
        try:
            TorchTrainer(_fit, train_loop_config=dict(config), scaling_config=scaling_config).fit()
        except Exception as error:  # this trial's own failure; the others go on
            trial_files.write_error(trial, f"{type(error).__name__}: {error}", store, traceback.format_exc())
        stage.update(stage.done + 1)


def run_with_tune(
    make_trial: TrialMaker,
    space: dict[str, Any],
    settings: Settings,
    store: Store,
    stage: Stage,
    **tune_options: Any,
) -> None:
    """Let Tune run trials, each a driver around one TorchTrainer.

    At most as many run at once as fit: trials that wait for each other's resources would wait without end.

    Args:
        make_trial: the trial of a point of `space`.
        space: Tune's search space.
        settings: of the run.
        store: the run directory.
        stage: shows the trials.
        **tune_options: of TuneConfig (metric, mode, scheduler, search_alg, num_samples).

    Raises:
        SettingsError: not one trial fits on this machine.
    """
    from ray import tune

    from raydistill.students.tune_callback import ProgressCallback

    def on_lost(config: TunePoint) -> None:
        _free_workers(make_trial(config), store)

    needs = trial_resources(settings)
    ray_internals.silence_tune()
    trainable = tune.with_parameters(
        _run_trial, make_trial=make_trial, needs=needs, nodes_may_come=not is_own_machine(settings)
    )
    tuner = tune.Tuner(
        # The driver of a trial only waits.
        tune.with_resources(trainable, ray_internals.HEAD_NODE),
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=min(needs.trials_at_once, settings.students.max_concurrent_trials),
            **tune_options,
        ),
        run_config=tune.RunConfig(
            name=".tune",
            storage_path=f"{store.path}/students",
            verbose=0,
            callbacks=[ProgressCallback(stage, on_lost)],
        ),
    )
    try:
        results = tuner.fit()
        for number in range(len(results)):
            _record_failure(results[number], make_trial, store)
    finally:  # what is finished, and what a restart needs, lies in the trials' own folders
        store.delete("students/.tune")


def _record_failure(result: Result, make_trial: TrialMaker, store: Store) -> None:
    """Note why a trial failed if Ray ended it: its training's own failure is noted by `_run_trial`."""
    if result.error is None or result.config is None:
        return
    trial = make_trial(result.config)
    if trial_files.is_finished(trial, store) or trial_files.read_error(trial, store):
        return
    cause = ray_internals.failure_cause(result.error)
    message = f"Ray ended this trial from outside ({cause}): run the same command again."
    trial_files.write_error(trial, message, store, str(result.error))


def _run_trial(config: TunePoint, make_trial: TrialMaker, needs: TrialResources, nodes_may_come: bool) -> None:
    """Run one Tune trial: a TorchTrainer of `students.num_workers` workers; a failure becomes its `error.txt`.

    Args:
        config: a point of Tune's search space.
        make_trial: the trial of such a point.
        needs: what each worker takes.
        nodes_may_come: on a cluster, workers wait for nodes that have to be started.
    """
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trial = make_trial(config)
    store = Store(trial.run)
    fit_config: FitConfig = {"trial": trial, "gpu": needs.gpus > 0}
    resources_per_worker = {"CPU": needs.cpus}
    worker_environment = {}
    if needs.gpus:
        resources_per_worker["GPU"] = needs.gpus
    else:
        worker_environment = ray_internals.allocator()
    trainer = TorchTrainer(
        _fit,
        train_loop_config=dict(fit_config),
        scaling_config=ray.train.ScalingConfig(
            num_workers=trial.settings.num_workers,
            use_gpu=needs.gpus > 0,
            resources_per_worker=resources_per_worker,
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]
            name="ray",  # a run of the same name goes on from the last epoch
            storage_path=f"{store.path}/{trial.folder}",
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
            failure_config=ray_internals.failure_config(trial.settings.max_failures, nodes_may_come=nodes_may_come),
            worker_runtime_env={"env_vars": worker_environment},
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        trial_files.write_error(trial, ray_internals.failure_cause(error), store, str(error))


def _fit(config: dict[str, Any]) -> None:
    """Call `train.fit`, imported where it runs: drivers and controllers start without what only workers need."""
    from raydistill.students.train import fit

    if not config.get("in_process"):
        _note_placement_group(config["trial"])
    fit(cast(FitConfig, config))


def _note_placement_group(trial: Trial) -> None:
    """Let the first worker write down which resources the trial holds."""
    import ray.train

    group_id = ray_internals.current_placement_group()
    if group_id and ray.train.get_context().get_world_rank() == 0:
        Store(trial.run).write_text(f"{trial.folder}/{PLACEMENT_GROUP_FILE}", group_id)


def _free_workers(trial: Trial, store: Store) -> None:
    """Free the CPUs and GPUs of a trial whose driver has died."""
    group_id = store.read_text(f"{trial.folder}/{PLACEMENT_GROUP_FILE}")
    if group_id:
        time.sleep(1)  # the training's controller ends with its driver; before, it would ask for other resources
        ray_internals.free_placement_group(group_id)

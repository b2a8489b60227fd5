"""What Tune says of its trials, on the progress line; a trial that Ray lost gives its resources back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from raydistill.runtime.progress import Stage


class ProgressCallback(tune.Callback):
    """Show the reports of trials on `stage`; call `on_lost` with the point of a trial that Ray ended."""

    def __init__(self, stage: Stage, on_lost: Callable[[dict[str, Any]], None]) -> None:
        self.stage: Stage | None = stage
        self.on_lost: Callable[[dict[str, Any]], None] | None = on_lost

    def __getstate__(self) -> dict[str, None]:
        """Leave out what cannot be pickled: Tune saves its callbacks, and a terminal cannot be saved."""
        return {"stage": None, "on_lost": None}

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: object
    ) -> None:
        """Show step and loss of a trial."""
        if self.stage and "step" in result:
            show_report(self.stage, result)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        """Count the trial as done."""
        if self.stage:
            self.stage.update(self.stage.done + 1)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        """Count the trial as done and give its resources back."""
        if self.on_lost:
            self.on_lost(trial.config)
        self.on_trial_complete(iteration, trials, trial)


def show_report(stage: Stage, report: Mapping[str, Any]) -> None:
    """Show the step and the loss of a trial's report on the progress line."""
    step = report["step"]
    steps = report["steps"]
    stage.update(part=step / steps, step=f"{step}/{steps}", loss=report["loss"])

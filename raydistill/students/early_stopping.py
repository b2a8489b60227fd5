"""Early stopping by asynchronous successive halving (ASHA, Li et al. 2020), by word rather than by force.

A trial that falls behind is told so in its folder, and ends itself. Tune would kill it instead, and Ray Train's
processes beside it one by one: a controller that outlives its worker by a moment asks for another, whose CPU nobody
gives back.
"""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler

from raydistill.runtime.store import Store
from raydistill.students.trial import STOP


class Halving(AsyncHyperBandScheduler):
    """ASHA whose decisions are files `students/<trial>/stop` of the run in `run`."""

    def __init__(self, run: str, **how: Any) -> None:
        super().__init__(**how)
        self.run = run
        self.told: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        behind = trial.trial_id in self.told
        if not behind and super().on_trial_result(tune_controller, trial, result) == self.STOP:
            self.told.add(trial.trial_id)
            Store(self.run).write_text(f"students/{result['trial']}/{STOP}", "")
        return str(self.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if trial.trial_id not in self.told:  # else its last figures are of no full relaxation_level
            super().on_trial_complete(tune_controller, trial, result)

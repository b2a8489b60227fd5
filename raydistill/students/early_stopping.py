"""Early stopping by asynchronous successive halving (ASHA, Li et al. 2020) in which trials end themselves.

A trial that falls behind finds a file in its folder, and ends itself. Tune would kill it instead, and Ray Train's
processes beside it one by one: a controller that outlives its worker by a moment asks for another, whose CPU nobody
gives back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler

from raydistill.runtime.store import Store
from raydistill.students.trial_files import STOP_FILE

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class CooperativeASHA(AsyncHyperBandScheduler):
    """ASHA whose decisions are files `students/<trial>/stop` in a run directory.

    Args:
        run: the run directory.
        num_train_epochs: of a trial that is not stopped.
    """

    def __init__(self, run: str, num_train_epochs: int) -> None:
        super().__init__(
            time_attr="epoch",
            max_t=num_train_epochs,
            grace_period=1,  # epoch before which none is stopped
            reduction_factor=3,  # of the trials at a level, the best third goes on
            stop_last_trials=False,
        )
        self.run = run
        self.stopped: set[str] = set()
        """Tune's ids of the trials that were told to end."""

    def on_trial_result(self, tune_controller: TuneController, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Let ASHA decide; a trial that it would stop is told so once, and goes on until it ends itself."""
        if trial.trial_id not in self.stopped:
            decision = super().on_trial_result(tune_controller, trial, result)
            if decision == self.STOP:
                self.stopped.add(trial.trial_id)
                Store(self.run).write_text(f"students/{result['trial']}/{STOP_FILE}", "")
        return str(self.CONTINUE)

    def on_trial_complete(self, tune_controller: TuneController, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Let ASHA compare the last result, unless the trial was stopped: that result is of no full epoch."""
        if trial.trial_id not in self.stopped:
            super().on_trial_complete(tune_controller, trial, result)

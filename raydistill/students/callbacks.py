"""What happens between the steps of a training: reports, the evaluation of each epoch, the best weights, restarts."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from raydistill.runtime.store import Store
from raydistill.students import checkpoints, evaluate, sharding
from raydistill.students.models import Student, StudentError, compute_dtype
from raydistill.students.records import Epoch
from raydistill.students.reports import Report, Reporter
from raydistill.students.trial import Trial
from raydistill.students.trial_files import STOP_FILE, read_epochs

REPORTS = 50  # reports of loss and step in a training
SELECTION_METRICS = {"validation": "validation_accuracy", "best_on_test": "test_accuracy"}
"""What epochs are compared by, for each `students.checkpoint_selection` but last."""


class TrainingCallback(TrainerCallback):
    """Report how it goes, evaluate epochs, keep the best weights, and save what a restart needs.

    Args:
        trial: what is trained.
        student: in training.
        open_base: opens the student as it was before training.
        store: the run directory.
        work: local folder for `best/`, `history.json` and the Trainer's checkpoints.
        on_report: called with each report.
        can_be_stopped: end early if the trial's folder says so.
    """

    trainer: Trainer
    """Set before training begins."""

    def __init__(
        self,
        trial: Trial,
        student: Student,
        open_base: Callable[[], Student],
        store: Store,
        work: Path,
        on_report: Reporter,
        *,
        can_be_stopped: bool,
    ) -> None:
        self.trial = trial
        self.student = student
        self.open_base = open_base
        self.store = store
        self.work = work
        self.on_report = on_report
        self.can_be_stopped = can_be_stopped
        self.stopped = False
        """Told to end early: the epoch it was in is not evaluated."""
        self.started = time.monotonic()
        self.saved = self.started
        """When the last checkpoint was saved."""
        self.losses: list[float] = []
        """Of this epoch."""
        self.loss: float | None = None
        self.history: list[Epoch] = []
        self.seconds_before = 0.0
        """Seconds of training before a restart."""
        state_file = work / "history.json"
        if state_file.exists():
            state = json.loads(state_file.read_text())
            self.history = read_epochs(state["epochs"])
            self.seconds_before = state["seconds"]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Count the steps of an epoch; forget epochs that are not in the checkpoint that training goes on from."""
        batches = len(self.trainer.get_train_dataloader())
        self.epoch_steps = math.ceil(batches / args.gradient_accumulation_steps)
        # A kill may come between writing the history and saving.
        self.history = self.history[: state.global_step // self.epoch_steps]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Log now and then, and at the end of each epoch."""
        step = state.global_step
        interval = max(1, state.max_steps // REPORTS)
        is_last = step == state.max_steps
        control.should_log = step % interval == 0 or step % self.epoch_steps == 0 or is_last

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Report the loss, and end early if the trial's folder says so.

        Raises:
            StudentError: the loss is not finite.
        """
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):  # the mean over workers: every worker stops here
            raise diverged(self.trial, f"The loss became {loss} at step {state.global_step}")
        self.losses.append(loss)
        self.loss = loss
        if state.global_step % self.epoch_steps:
            # At the end of an epoch `on_epoch_end` reports: Ray takes up to 0.2 s for a report.
            self._report(state, None)
        if self.can_be_stopped and self._first_worker_says(self._stop_is_requested()):
            self.stopped = True
            control.should_training_stop = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Evaluate the epoch, keep its weights if they are the best, and save or report.

        Raises:
            StudentError: the validation loss is not finite.
        """
        if self.stopped:
            return
        dtype = compute_dtype(args.bf16)
        epoch, evaluated = self._evaluate(dtype)
        self.losses = []
        if evaluated is not None and self._is_best(epoch):
            self._keep_best(evaluated, dtype, args)
        self.history.append(epoch)
        if args.process_index == 0:
            self._write_history()
        # The last epoch's weights become `model/` at once: a restart needs no checkpoint of them.
        is_last = state.global_step >= state.max_steps
        control.should_save = not is_last and self._save_is_due()
        if not control.should_save:
            self._report(state, None)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Hand the Trainer's checkpoint over with a report."""
        self._report(state, self.work)

    def _evaluate(self, dtype: torch.dtype) -> tuple[Epoch, Student | None]:
        """Return the figures of the epoch that ends, and the copy of the student in `dtype` that was evaluated.

        The copy has the numbers that `predict` will use; training goes on with the original.
        """
        trial = self.trial
        number = len(self.history) + 1
        train_loss = sum(self.losses) / len(self.losses) if self.losses else None
        validation_loss = None
        if trial.held_out.num_rows:
            validation_loss = self.trainer.evaluate()["eval_loss"]
            if not math.isfinite(validation_loss):
                raise diverged(trial, f"The loss on validation questions became {validation_loss} in epoch {number}")
        chooses_by_validation = trial.settings.checkpoint_selection == "validation"
        if not trial.test.num_rows and not (trial.validation.num_rows and chooses_by_validation):
            return Epoch(number, train_loss, validation_loss), None
        copy = self._copy(dtype)
        accuracies = {
            "validation_accuracy": self._accuracy(copy, trial.validation),
            "test_accuracy": self._accuracy(copy, trial.test),
        }
        self.trainer.log({name: value for name, value in accuracies.items() if value is not None})
        return Epoch(number, train_loss, validation_loss, **accuracies), copy

    def _is_best(self, epoch: Epoch) -> bool:
        """Return True if the epoch is better than all before it, by what the settings choose epochs by."""
        metric = SELECTION_METRICS.get(self.trial.settings.checkpoint_selection)
        if metric is None:
            return False
        return all(getattr(epoch, metric) > getattr(earlier, metric) for earlier in self.history)

    def _keep_best(self, evaluated: Student, dtype: torch.dtype, args: TrainingArguments) -> None:
        """Save the epoch's weights as `best/`; every worker must call."""
        saved_dtype = checkpoints.saved_dtype(self.trial.settings, args.bf16)
        if saved_dtype != dtype:
            evaluated = self._copy(saved_dtype)
        if args.process_index == 0:
            checkpoints.save(evaluated, self.work / "best", saved_dtype)

    def _write_history(self) -> None:
        """Write what a restart needs beside the weights."""
        seconds = self.seconds_before + time.monotonic() - self.started
        content = {"epochs": [asdict(epoch) for epoch in self.history], "seconds": seconds}
        self.work.mkdir(exist_ok=True)
        (self.work / "history.json").write_text(json.dumps(content))

    def _copy(self, dtype: torch.dtype) -> Student:
        return sharding.copied(self.student, self.open_base, dtype, self.trainer.args.device)

    def _save_is_due(self) -> bool:
        interval_s = self.trial.settings.checkpoint_interval_s
        due = self._first_worker_says(time.monotonic() - self.saved >= interval_s)
        if due:
            self.saved = time.monotonic()
        return due

    def _stop_is_requested(self) -> bool:
        return self.store.read_text(f"{self.trial.folder}/{STOP_FILE}") is not None

    def _first_worker_says(self, decision: bool) -> bool:
        """Return the first worker's decision on all of them: every worker must save or stop, or none."""
        if sharding.world() == 1:
            return decision
        shared = torch.tensor(decision, device=self.trainer.args.device)
        torch.distributed.broadcast(shared, 0)
        return bool(shared)

    def _report(self, state: TrainerState, checkpoint: Path | None) -> None:
        report: Report = {
            "trial": self.trial.key,
            "step": state.global_step,
            "steps": state.max_steps,
            "epoch": len(self.history),
            "loss": self.loss,
        }
        accuracy = self.history[-1].validation_accuracy if self.history else None
        if accuracy is not None:
            report["validation_accuracy"] = accuracy
        self.on_report(report, checkpoint)

    def _accuracy(self, student: Student, questions: pa.Table) -> float | None:
        """Return the fraction of right answers, None without questions; the workers share the questions."""
        if not questions.num_rows:
            return None
        rank, world = sharding.rank(), sharding.world()
        own_rows = questions.take(list(range(rank, questions.num_rows, world)))
        answers = evaluate.evaluate(student, own_rows, self.trial.method, self.trial.settings)
        correct = sum(answers["correct"].to_pylist())
        if world > 1:
            count = torch.tensor([correct], device=self.trainer.args.device)
            torch.distributed.all_reduce(count)
            correct = int(count)
        return correct / questions.num_rows


def diverged(trial: Trial, what: str) -> StudentError:
    """Return the error of a training whose numbers left the finite ones; `what` says when."""
    return StudentError(
        f"{what}: {trial.student} on {trial.task} ({trial.method}).",
        "Lower students.learning_rate, set students.max_grad_norm (1.0) or students.precision fp32.",
    )

"""What happens between the steps of a training: reports, the judging of each epoch, the best weights, restarts."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import Trainer, TrainerCallback

from raydistill.config import StudentSettings
from raydistill.runtime.store import Store
from raydistill.students import evaluate, sharding
from raydistill.students.models import Student, StudentError
from raydistill.students.trial import STOP, Trial

LOGS = 50  # reports of loss and step in a training


class Epochs(TrainerCallback):
    """Tells Ray (or `hear`) how it goes, judges epochs, keeps the best weights, and saves what a restart needs."""

    def __init__(
        self,
        trial: Trial,
        student: Student,
        fresh: Callable[[], Student],
        store: Store,
        work: Path,
        to_ray: Callable[[dict[str, Any], Path | None], None] | None,
        hear: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.trial, self.student, self.fresh, self.store, self.work = trial, student, fresh, store, work
        self.to_ray, self.hear = to_ray, hear
        self.trainer: Trainer
        self.started = self.saved = time.monotonic()
        self.losses: list[float] = []
        self.loss: float | None = None
        state = work / "history.json"
        saved: dict[str, Any] = json.loads(state.read_text()) if state.exists() else {}
        self.history: list[dict[str, Any]] = saved.get("epochs", [])
        self.earlier: float = saved.get("seconds", 0.0)
        """Seconds that were trained before a restart."""
        self.stopped = False
        """Told to end early: the epoch it was in is not judged."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.epoch_steps = math.ceil(len(self.trainer.get_train_dataloader()) / args.gradient_accumulation_steps)
        self.history = self.history[: state.global_step // self.epoch_steps]  # a kill may come between this and a save

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        every = max(1, state.max_steps // LOGS)
        control.should_log = step % every == 0 or step % self.epoch_steps == 0 or step == state.max_steps

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):  # the mean over workers: every worker stops here
            raise diverged(self.trial, f"The loss became {loss} at step {state.global_step}")
        self.losses.append(loss)
        self.loss = loss
        if state.global_step % self.epoch_steps:  # else the epoch's end tells it: Ray takes up to 0.2 s for a report
            self._report(state, None)
        if self.to_ray and self._agreed(self.store.read_text(f"{self.trial.folder}/{STOP}") is not None):
            self.stopped = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.stopped:
            return
        settings, trial = self.trial.settings, self.trial
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        entry: dict[str, Any] = {"epoch": len(self.history) + 1, "train_loss": loss}
        entry["validation_loss"] = entry["validation_accuracy"] = entry["test_accuracy"] = None
        if trial.held_out.num_rows:
            entry["validation_loss"] = loss = self.trainer.evaluate()["eval_loss"]
            if not math.isfinite(loss):
                raise diverged(trial, f"The loss on validation questions became {loss} in epoch {entry['epoch']}")
        if trial.test.num_rows or (trial.validation.num_rows and settings.checkpoint_selection == "validation"):
            # In the numbers that `predict` will use; training goes on with the original.
            copied = self._copy(judged_in := torch.bfloat16 if args.bf16 else torch.float32)
            entry["validation_accuracy"] = self._accuracy(copied, trial.validation)
            entry["test_accuracy"] = self._accuracy(copied, trial.test)
            self.trainer.log({n: entry[n] for n in ("validation_accuracy", "test_accuracy") if entry[n] is not None})
        self.losses = []
        key = {"validation": "validation_accuracy", "best_on_test": "test_accuracy"}.get(settings.checkpoint_selection)
        if key and all(entry[key] > e[key] for e in self.history):
            dtype = saved_in(settings, args.bf16)
            if dtype != judged_in:
                copied = self._copy(dtype)
            if args.process_index == 0:
                save(copied, self.work / "best", dtype)
        self.history.append(entry)
        if args.process_index == 0:
            seconds = self.earlier + time.monotonic() - self.started
            self.work.mkdir(exist_ok=True)
            state_now = {"epochs": self.history, "seconds": seconds}
            (self.work / "history.json").write_text(json.dumps(state_now))  # for a restart, with the weights
        # The last epoch's weights become `model/` at once.
        control.should_save = state.global_step < state.max_steps and self._save_is_due()
        if not control.should_save:
            self._report(state, None)

    def _copy(self, dtype: torch.dtype) -> Student:
        return sharding.copied(self.student, self.fresh, dtype, self.trainer.args.device)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._report(state, self.work)

    def _save_is_due(self) -> bool:
        due = self._agreed(time.monotonic() - self.saved >= self.trial.settings.checkpoint_interval_s)
        if due:
            self.saved = time.monotonic()
        return due

    def _agreed(self, mine: bool) -> bool:
        """What the first worker finds holds for all: every worker must save or stop, or none."""
        if sharding.world() == 1:
            return mine
        first = torch.tensor(mine, device=self.trainer.args.device)
        torch.distributed.broadcast(first, 0)
        return bool(first)

    def _report(self, state: Any, checkpoint: Path | None) -> None:
        metrics = {
            "trial": self.trial.trial,
            "step": state.global_step,
            "steps": state.max_steps,
            "epoch": len(self.history),
            "loss": self.loss,
        }
        if self.history and self.history[-1]["validation_accuracy"] is not None:
            metrics["validation_accuracy"] = self.history[-1]["validation_accuracy"]
        if self.to_ray:
            self.to_ray(metrics, checkpoint)
        if self.hear:
            self.hear(metrics)

    def _accuracy(self, student: Student, questions: pa.Table) -> float | None:
        """Share of right answers; the workers share the questions."""
        if not questions.num_rows:
            return None
        settings, rank, world = self.trial.settings, sharding.rank(), sharding.world()
        mine = questions.take(list(range(rank, questions.num_rows, world)))
        right = sum(evaluate.ask(student, mine, self.trial.method, settings)["correct"].to_pylist())
        if world > 1:
            count = torch.tensor([right], device=self.trainer.args.device)
            torch.distributed.all_reduce(count)
            right = int(count)
        return right / questions.num_rows


def diverged(trial: Trial, what: str) -> StudentError:
    return StudentError(
        f"{what}: {trial.student} on {trial.task} ({trial.method}).",
        "Lower students.learning_rate, set students.max_grad_norm (1.0) or students.precision fp32.",
    )


def saved_in(settings: StudentSettings, bf16: bool) -> torch.dtype:
    return torch.bfloat16 if bf16 and settings.save_precision == "as_trained" else torch.float32


def save(student: Student, folder: Path, dtype: torch.dtype) -> None:
    """A folder that `from_pretrained` opens; ends the student's training."""
    model = sharding.merged(student.model).to(dtype)
    model.config.use_cache = True
    model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)


def tell_ray(metrics: dict[str, Any], checkpoint: Path | None) -> None:
    import ray.train

    if checkpoint is None:
        ray.train.report(metrics)
    elif sharding.rank() == 0:
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(checkpoint))
    else:
        ray.train.report(metrics)

"""Training one student: the loop that Ray Train runs, the same for this process, one worker and many.

`transformers`' Trainer does the steps. What it is given makes it fast: batches of rows of about the same length, bf16
autocast where the hardware has it, a fused AdamW, and logits computed only where there is something to learn.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from raydistill.config import StudentSettings
from raydistill.store import Store
from raydistill.students import judge, sharding, text
from raydistill.students.folders import publish
from raydistill.students.models import Student, StudentError, accepts, open_student, use_bf16, with_lora

LOGS = 50  # reports of loss and step in a training


@dataclass(frozen=True)
class Trial:
    """One student on one task: everything that its training needs, wherever that runs."""

    trial: str
    task: str
    method: str
    degree: int
    student: str
    """As named in the settings."""
    location: str
    """Folder or hub id of the base weights."""
    seed: int
    settings: StudentSettings
    run: str
    """The run's directory; results go to `students/<trial>/` below it."""
    rows: pa.Table = field(repr=False)
    """Training rows: question_id, question, rationale, answer."""
    held_out: pa.Table = field(repr=False)
    """The same columns, kept out of training to choose the epoch by."""
    validation: pa.Table = field(repr=False)
    """QUESTIONS of `held_out`."""
    test: pa.Table = field(repr=False)
    """QUESTIONS to judge every epoch on; empty unless `evaluate_every_epoch`."""

    @property
    def label(self) -> str:
        """For trackers."""
        return f"{self.student} {self.task} {self.method} D={self.degree} seed={self.seed}"

    @property
    def folder(self) -> str:
        """Relative to the run's directory."""
        return f"students/{self.trial}"


def fit(config: dict[str, Any]) -> None:
    """Train `config["trial"]`; writes `model/` and `metrics.json`, or `error.txt` where the user can mend it.

    Runs inside a Ray Train worker, or with `config["in_process"]` in the caller's process; `config["gpu"]` says whether
    on a GPU; `config["hear"]` (in process only) is called with each report. A mendable error ends the loop without an
    exception, the same on every worker, so that Ray does not restart it.
    """
    trial: Trial = config["trial"]
    store = Store(trial.run)
    try:
        _fit(trial, store, config["gpu"], config.get("in_process", False), config.get("hear"))
    except StudentError as error:
        if _rank() == 0:
            store.write_text(f"{trial.folder}/error.txt", str(error))


def _fit(
    trial: Trial, store: Store, gpu: bool, in_process: bool, hear: Callable[[dict[str, Any]], None] | None
) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        os.environ.pop("LOCAL_RANK", None)  # else accelerate wraps one worker in DDP, which copies every gradient
    if gpu:
        torch.set_float32_matmul_precision("high")  # TF32, as in Ho et al. 2023
    settings = trial.settings
    judged_on = {"validation": trial.validation, "best_on_test": trial.test}.get(settings.select)
    if judged_on is not None and not judged_on.num_rows:
        raise StudentError(
            f"students.select {settings.select} has no questions of {trial.task} to choose the epoch by.",
            "Raise students.validation_share, give the task more questions, or choose students.select last.",
        )
    torch.manual_seed(trial.seed)
    student = _opened(trial)
    samples = encode(trial.rows, student, trial)
    held_out = encode(trial.held_out, student, trial)
    with tempfile.TemporaryDirectory(prefix="raydistill-") as scratch:
        # In process there is no Ray checkpoint to come back to: the work stays in the run's directory.
        work = Path(store.root, trial.folder, "work") if in_process and store.is_local else Path(scratch)
        resume = None if in_process else _restore(work)
        resume = resume or (get_last_checkpoint(str(work)) if work.is_dir() else None)
        curves = f"{trial.folder}/tensorboard"
        os.environ["TENSORBOARD_LOGGING_DIR"] = f"{store.root}/{curves}" if store.is_local else f"{scratch}/tensorboard"
        report = _Report(trial, student, store, work, None if in_process else _report_to_ray, hear)
        trainer = make_trainer(student, samples, held_out, settings, str(work), trial.seed, trial.label, gpu)
        trainer.add_callback(report)
        report.trainer = trainer
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=resume)
        seconds = time.monotonic() - started
        last = sharding.gathered(student, partial(_opened, trial))
        if last is not None and trainer.is_world_process_zero():
            best = work / "best"
            if settings.select == "last" or not best.is_dir():
                if not all(bool(p.isfinite().all()) for p in last.model.parameters()):
                    raise _diverged(trial, "The weights are no numbers after the last step")
                _save(last, best, _saved_in(settings, trainer.args.bf16))
            publish(best, store, f"{trial.folder}/model")
            if not store.is_local and Path(scratch, "tensorboard").is_dir():
                publish(Path(scratch, "tensorboard"), store, curves)
            metrics = {
                "epochs": report.history,
                "steps": trainer.state.global_step,
                "train_rows": len(samples),
                "train_tokens": round(sum(len(s.prompt) + len(s.target) for s in samples) * trainer.state.epoch),
                "train_seconds": report.earlier + seconds,
                "cut_rows": sum(s.cut for s in samples),
                "bf16": trainer.args.bf16,
                "workers": trainer.args.world_size,
                "sharding": "fsdp" if sharding.is_sharded(student.model) else "none",
            }
            store.fs.delete_file(f"{store.root}/{trial.folder}/epochs.json")
            store.write_text(f"{trial.folder}/metrics.json", json.dumps(metrics, indent=1))  # last: the trial is done
            shutil.rmtree(work, ignore_errors=True)


def _opened(trial: Trial) -> Student:
    """The student as its training finds it."""
    student = open_student(trial.location)
    return with_lora(student, trial.settings.lora_rank) if trial.settings.lora_rank else student


def encode(rows: pa.Table, student: Student, trial: Trial) -> list[text.Sample]:
    """Tokens of training rows.

    Raises:
        StudentError: a row is longer than the model has positions for.
    """
    settings, seq2seq = trial.settings, student.seq2seq
    questions, rationales, answers = (rows[name].to_pylist() for name in ("question", "rationale", "answer"))
    samples = text.encode(
        [text.prompt(q, seq2seq=seq2seq) for q in questions],
        [
            text.target(r, a, seq2seq=seq2seq, vanilla=trial.method == "vanilla")
            for r, a in zip(rationales, answers, strict=True)
        ],
        student.tokenizer,
        seq2seq=seq2seq,
        max_input=settings.max_input_tokens,
        max_output=settings.max_output_tokens,
    )
    limit = student.context
    for sample, question_id in zip(samples, rows["question_id"].to_pylist(), strict=True):
        longest = max(len(sample.prompt), len(sample.target)) if seq2seq else len(sample.prompt) + len(sample.target)
        if limit is not None and longest > limit:
            raise StudentError(
                f"The training row of question {question_id} ({trial.task}, {trial.method}) has {longest} tokens, "
                f"but {trial.student} has positions for {limit}.",
                "Lower students.max_input_tokens or students.max_output_tokens, or take another student.",
            )
    return samples


def make_trainer(
    student: Student,
    samples: Sequence[text.Sample],
    held_out: Sequence[text.Sample],
    settings: StudentSettings,
    output_dir: str,
    seed: int,
    run_name: str = "student",
    gpu: bool = False,
) -> Trainer:
    """A Trainer that buckets by length and computes the loss on target tokens only (mean over the step's targets)."""
    model = student.model
    model.config.use_cache = False
    steps = settings.max_steps or -1
    schedule = (
        "constant_with_warmup" if settings.schedule == "constant" and settings.warmup_share else settings.schedule
    )
    arguments = TrainingArguments(
        output_dir=output_dir,
        num_train_epochs=settings.epochs,
        max_steps=steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=settings.warmup_share,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        bf16=use_bf16(settings.precision, gpu),
        optim="adamw_torch_fused",
        seed=seed,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        logging_strategy="no",  # _Report says when
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=1,
        prediction_loss_only=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        report_to=list(settings.trackers),
        run_name=run_name,
        label_names=["labels"],
        disable_tqdm=True,
        **sharding.arguments(settings.sharding, _world()),
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    group = settings.batch_size * settings.accumulate * arguments.world_size
    collate = partial(text.collate, pad=student.tokenizer.pad_token_id, seq2seq=student.seq2seq, start=student.start)

    class BucketTrainer(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
            return text.LengthBuckets([len(s.prompt) + len(s.target) for s in samples], group, seed)

    trainer = BucketTrainer(
        model=model,
        args=arguments,
        data_collator=collate if accepts(model, "logits_to_keep") else lambda rows: _without_keep(collate(rows)),
        train_dataset=list(samples),
        eval_dataset=list(held_out),
        compute_loss_func=partial(_loss, shifted=not student.seq2seq),
    )
    trainer.remove_callback(PrinterCallback)
    sharding.prepare(trainer, student)
    return trainer


def _without_keep(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    batch.pop("logits_to_keep", None)
    return batch


def _loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None, *, shifted: bool) -> torch.Tensor:
    """Cross entropy, summed over target tokens and divided by their number in the whole step.

    A decoder's logits may begin late (`logits_to_keep`) and predict the token after; those without a label are left out
    before they are widened to float32.
    """
    logits = outputs.logits
    if shifted:
        if logits.shape[1] == labels.shape[1]:
            logits = logits[:, :-1]
        labels = labels[:, labels.shape[1] - logits.shape[1] :]
    wanted = labels != text.IGNORED
    total = torch.nn.functional.cross_entropy(logits[wanted].float(), labels[wanted], reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else wanted.sum())


class _Report(TrainerCallback):
    """Tells Ray (or `hear`) how it goes, judges epochs, keeps the best weights, and saves what a restart needs."""

    def __init__(
        self,
        trial: Trial,
        student: Student,
        store: Store,
        work: Path,
        to_ray: Callable[[dict[str, Any], Path | None], None] | None,
        hear: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.trial, self.student, self.store, self.work = trial, student, store, work
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
            raise _diverged(self.trial, f"The loss became {loss} at step {state.global_step}")
        self.losses.append(loss)
        self.loss = loss
        if state.global_step % self.epoch_steps:  # else the epoch's end tells it: Ray takes up to 0.2 s for a report
            self._report(state, None)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        settings, trial = self.trial.settings, self.trial
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        entry: dict[str, Any] = {"epoch": len(self.history) + 1, "train_loss": loss}
        entry["validation_loss"] = entry["validation_accuracy"] = entry["test_accuracy"] = None
        if trial.held_out.num_rows:
            entry["validation_loss"] = loss = self.trainer.evaluate()["eval_loss"]
            if not math.isfinite(loss):
                raise _diverged(trial, f"The loss on validation questions became {loss} in epoch {entry['epoch']}")
        if trial.test.num_rows or (trial.validation.num_rows and settings.select == "validation"):
            # In the numbers that `predict` will use; training goes on with the original.
            copied = self._copy(judged_in := torch.bfloat16 if args.bf16 else torch.float32)
            entry["validation_accuracy"] = self._accuracy(copied, trial.validation)
            entry["test_accuracy"] = self._accuracy(copied, trial.test)
            self.trainer.log({n: entry[n] for n in ("validation_accuracy", "test_accuracy") if entry[n] is not None})
        self.losses = []
        key = {"validation": "validation_accuracy", "best_on_test": "test_accuracy"}.get(settings.select)
        if key and all(entry[key] > e[key] for e in self.history):
            dtype = _saved_in(settings, args.bf16)
            if dtype != judged_in:
                copied = self._copy(dtype)
            if args.process_index == 0:
                _save(copied, self.work / "best", dtype)
        self.history.append(entry)
        if args.process_index == 0:
            seconds = self.earlier + time.monotonic() - self.started
            self.work.mkdir(exist_ok=True)
            told = json.dumps({"epochs": self.history, "seconds": seconds})
            (self.work / "history.json").write_text(told)  # for a restart, with the weights
            self.store.write_text(f"{trial.folder}/epochs.json", told)  # for whoever stops the trial early
        # The last epoch's weights become `model/` at once.
        control.should_save = state.global_step < state.max_steps and self._save_is_due()
        if not control.should_save:
            self._report(state, None)

    def _copy(self, dtype: torch.dtype) -> Student:
        return sharding.copied(self.student, partial(_opened, self.trial), dtype, self.trainer.args.device)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._report(state, self.work)

    def _save_is_due(self) -> bool:
        """The first worker's clock decides for all: every worker must save, or none."""
        due = torch.tensor(time.monotonic() - self.saved >= self.trial.settings.checkpoint_after_s)
        if _world() > 1:
            due = due.to(self.trainer.args.device)
            torch.distributed.broadcast(due, 0)
        if due:
            self.saved = time.monotonic()
        return bool(due)

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
        settings, rank, world = self.trial.settings, _rank(), _world()
        mine = questions.take(list(range(rank, questions.num_rows, world)))
        right = sum(judge.ask(student, mine, self.trial.method, settings)["correct"].to_pylist())
        if world > 1:
            count = torch.tensor([right], device=self.trainer.args.device)
            torch.distributed.all_reduce(count)
            right = int(count)
        return right / questions.num_rows


def _diverged(trial: Trial, what: str) -> StudentError:
    return StudentError(
        f"{what}: {trial.student} on {trial.task} ({trial.method}).",
        "Lower students.learning_rate, set students.max_grad_norm (1.0) or students.precision fp32.",
    )


def _saved_in(settings: StudentSettings, bf16: bool) -> torch.dtype:
    return torch.bfloat16 if bf16 and settings.save_precision == "as_trained" else torch.float32


def _save(student: Student, folder: Path, dtype: torch.dtype) -> None:
    """A folder that `from_pretrained` opens; ends the student's training."""
    model = sharding.merged(student.model).to(dtype)
    model.config.use_cache = True
    model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)


def _report_to_ray(metrics: dict[str, Any], checkpoint: Path | None) -> None:
    import ray.train

    if checkpoint is None:
        ray.train.report(metrics)
    elif _rank() == 0:
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(checkpoint))
    else:
        ray.train.report(metrics)


def _restore(work: Path) -> str | None:
    """After a restart: the last epoch's state, copied to `work`; returns the Trainer checkpoint in it."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    checkpoint.to_directory(str(work))
    return get_last_checkpoint(str(work))


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _world() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1

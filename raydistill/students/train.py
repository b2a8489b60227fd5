"""Training one student: the loop that Ray Train runs, the same for this process, one worker and many.

`transformers`' Trainer does the steps. What it is given makes it fast: batches of rows of about the same length, bf16
autocast where the hardware has it, a fused AdamW, and logits computed only where there is something to learn.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from raydistill.config import StudentSettings
from raydistill.runtime.folders import publish
from raydistill.runtime.store import Store
from raydistill.students import sharding, text
from raydistill.students.callbacks import Epochs, diverged, save, saved_in, tell_ray
from raydistill.students.models import Student, StudentError, accepts, open_student, use_bf16, with_lora
from raydistill.students.trial import Trial


def fit(config: dict[str, Any]) -> None:
    """Train `config["trial"]`; writes `model/` and `metrics.json`, `stopped.json` where a search ended it early
    (`halving`), or `error.txt` where the user can mend it.

    Runs inside a Ray Train worker, or with `config["in_process"]` in the caller's process; `config["gpu"]` says whether
    on a GPU; `config["hear"]` (in process only) is called with each report. A mendable error ends the loop without an
    exception, the same on every worker, so that Ray does not restart it.
    """
    trial: Trial = config["trial"]
    store = Store(trial.run)
    try:
        _fit(trial, store, config["gpu"], config.get("in_process", False), config.get("hear"))
    except StudentError as error:
        if sharding.rank() == 0:
            store.write_text(f"{trial.folder}/error.txt", str(error))


def _fit(
    trial: Trial, store: Store, gpu: bool, in_process: bool, hear: Callable[[dict[str, Any]], None] | None
) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        os.environ.pop("LOCAL_RANK", None)  # else accelerate wraps one worker in DDP, which copies every gradient
    if gpu:
        torch.set_float32_matmul_precision("high")  # TF32, as in Ho et al. 2023
    settings = trial.settings
    judged_on = {"validation": trial.validation, "best_on_test": trial.test}.get(settings.checkpoint_selection)
    if judged_on is not None and not judged_on.num_rows:
        raise StudentError(
            f"students.checkpoint_selection {settings.checkpoint_selection} has no questions of {trial.task} to choose the epoch by.",
            "Raise students.validation_fraction, give the task more questions, or choose students.checkpoint_selection last.",
        )
    torch.manual_seed(trial.seed)
    fresh = partial(_opened, trial)
    student = fresh()
    samples = encode(trial.rows, student, trial)
    held_out = encode(trial.held_out, student, trial)
    with tempfile.TemporaryDirectory(prefix="raydistill-") as scratch:
        # In process there is no Ray checkpoint to come back to: the work stays in the run's directory.
        work = Path(store.root, trial.folder, "work") if in_process and store.is_local else Path(scratch)
        resume = None if in_process else _restore(work)
        resume = resume or (get_last_checkpoint(str(work)) if work.is_dir() else None)
        curves = f"{trial.folder}/tensorboard"
        os.environ["TENSORBOARD_LOGGING_DIR"] = f"{store.root}/{curves}" if store.is_local else f"{scratch}/tensorboard"
        report = Epochs(trial, student, fresh, store, work, None if in_process else tell_ray, hear)
        trainer = make_trainer(student, samples, held_out, settings, str(work), trial.seed, trial.label, gpu)
        trainer.add_callback(report)
        report.trainer = trainer
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=resume)
        seconds = time.monotonic() - started
        if report.stopped:
            if sharding.rank() == 0:
                store.write_text(f"{trial.folder}/stopped.json", json.dumps({"epochs": report.history}, indent=1))
            return
        last = sharding.gathered(student, fresh)
        if last is not None and trainer.is_world_process_zero():
            best = work / "best"
            if settings.checkpoint_selection == "last" or not best.is_dir():
                if not all(bool(p.isfinite().all()) for p in last.model.parameters()):
                    raise diverged(trial, "The weights are no numbers after the last step")
                save(last, best, saved_in(settings, trainer.args.bf16))
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
        "constant_with_warmup"
        if settings.lr_scheduler_type == "constant" and settings.warmup_steps
        else settings.lr_scheduler_type
    )
    arguments = TrainingArguments(
        output_dir=output_dir,
        num_train_epochs=settings.num_train_epochs,
        max_steps=steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        per_device_eval_batch_size=settings.per_device_train_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        bf16=use_bf16(settings.precision, gpu),
        optim="adamw_torch_fused",
        seed=seed,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        logging_strategy="no",  # Epochs says when
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=1,
        prediction_loss_only=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        report_to=list(settings.report_to),
        run_name=run_name,
        label_names=["labels"],
        disable_tqdm=True,
        **sharding.arguments(settings.sharding, sharding.world()),
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    group = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * arguments.world_size
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


def _restore(work: Path) -> str | None:
    """After a restart: the last epoch's state, copied to `work`; returns the Trainer checkpoint in it."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    checkpoint.to_directory(str(work))
    return get_last_checkpoint(str(work))

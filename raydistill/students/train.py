"""Training one student: the loop that Ray Train runs, the same for this process, one worker and many."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import torch
from transformers import Trainer

from raydistill.method.methods import METHODS
from raydistill.runtime.store import Store
from raydistill.students import batching, checkpoints, sharding, templates, trial_files
from raydistill.students.callbacks import TrainingCallback, diverged
from raydistill.students.model_folders import publish
from raydistill.students.models import Student, StudentError, open_student, with_lora
from raydistill.students.reports import FitConfig, Report
from raydistill.students.trainer import make_trainer
from raydistill.students.trial import Trial


@dataclass
class _Training:
    """What a training works with, from its setup to its last file."""

    trial: Trial
    store: Store
    open_base: Callable[[], Student]
    """Opens the student as it was before training."""
    student: Student
    samples: Sequence[batching.Sample]
    trainer: Trainer
    callback: TrainingCallback
    work: Path
    """Local folder for the best weights and the Trainer's checkpoints."""
    tensorboard: Path
    """Local folder of TensorBoard's files, if it writes any."""


def fit(config: FitConfig) -> None:
    """Train `config["trial"]`, in a Ray Train worker or in this process.

    It writes `model/` and `metrics.json`; `stopped.json` if a search ended it early (`early_stopping`); or `error.txt`
    if the user can fix what is wrong. Such an error ends the loop without an exception, the same on every worker, so
    that Ray does not restart it.
    """
    trial = config["trial"]
    store = Store(trial.run)
    try:
        with tempfile.TemporaryDirectory(prefix="raydistill-") as scratch:
            training = _set_up(config, store, Path(scratch))
            started = time.monotonic()
            training.trainer.train(resume_from_checkpoint=checkpoints.last_checkpoint(training.work))
            seconds = training.callback.seconds_before + time.monotonic() - started
            if not training.callback.stopped:
                _save(training, seconds)
            elif sharding.rank() == 0:
                trial_files.write_stopped(trial, training.callback.history, store)
    except StudentError as error:
        if sharding.rank() == 0:
            trial_files.write_error(trial, str(error), store)


def _set_up(config: FitConfig, store: Store, scratch: Path) -> _Training:
    """Open the student, encode its rows, and build its Trainer.

    Raises:
        StudentError: the student cannot be opened, a row is too long for it, or no question chooses the epoch.
    """
    trial = config["trial"]
    gpu = config["gpu"]
    in_process = config.get("in_process", False)
    _prepare_process(gpu)
    _check_selection(trial)
    torch.manual_seed(trial.seed)
    open_base = partial(_open_base, trial)
    student = open_base()
    samples = encode_rows(trial.rows, student, trial)
    held_out = encode_rows(trial.held_out, student, trial)

    work = scratch
    if not in_process:
        checkpoints.restore_from_ray(work)
    elif store.is_local:
        # In process there is no Ray checkpoint to come back to: the work stays in the run's directory.
        work = Path(store.root, trial.folder, "work")
    folder = Path(store.root, trial.folder) if store.is_local else scratch
    tensorboard = folder / "tensorboard"
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(tensorboard)

    on_report = config.get("on_report", _ignore_report) if in_process else checkpoints.report_to_ray
    callback = TrainingCallback(trial, student, open_base, store, work, on_report, can_be_stopped=not in_process)
    trainer = make_trainer(student, samples, held_out, trial.settings, str(work), trial.seed, trial.label, gpu)
    trainer.add_callback(callback)
    callback.trainer = trainer
    return _Training(trial, store, open_base, student, samples, trainer, callback, work, tensorboard)


def _save(training: _Training, seconds: float) -> None:
    """Write the trained student and, last, its metrics. Every worker must call; the first one writes.

    Raises:
        StudentError: the weights are not finite.
    """
    trial, store = training.trial, training.store
    trainer = training.trainer
    trained = sharding.gathered(training.student, training.open_base)
    if trained is None or not trainer.is_world_process_zero():
        return
    best = training.work / "best"
    if trial.settings.checkpoint_selection == "last" or not best.is_dir():
        if not _is_finite(trained):
            raise diverged(trial, "The weights are not finite after the last step")
        checkpoints.save(trained, best, checkpoints.saved_dtype(trial.settings, trainer.args.bf16))
    publish(best, store, f"{trial.folder}/model")
    if not store.is_local and training.tensorboard.is_dir():
        publish(training.tensorboard, store, f"{trial.folder}/tensorboard")
    tokens_per_epoch = sum(sample.length for sample in training.samples)
    metrics = trial_files.Metrics(
        epochs=training.callback.history,
        steps=trainer.state.global_step,
        train_rows=len(training.samples),
        train_tokens=round(tokens_per_epoch * (trainer.state.epoch or 0)),
        train_seconds=seconds,
        truncated_rows=sum(sample.truncated for sample in training.samples),
        bf16=trainer.args.bf16,
        workers=trainer.args.world_size,
        sharding="fsdp" if sharding.is_sharded(training.student.model) else "none",
    )
    trial_files.write_metrics(trial, metrics, store)  # last: the trial is finished
    shutil.rmtree(training.work, ignore_errors=True)


def _prepare_process(gpu: bool) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # Otherwise accelerate wraps a single worker in DDP, which copies every gradient.
        os.environ.pop("LOCAL_RANK", None)
    if gpu:
        torch.set_float32_matmul_precision("high")  # TF32, as in Ho et al. 2023


def _check_selection(trial: Trial) -> None:
    """Check that there are questions to choose the epoch by.

    Raises:
        StudentError: there are none.
    """
    selection = trial.settings.checkpoint_selection
    questions = {"validation": trial.validation, "best_on_test": trial.test}.get(selection)
    if questions is not None and not questions.num_rows:
        raise StudentError(
            f"students.checkpoint_selection {selection} has no questions of {trial.task} to choose the epoch by.",
            "Raise students.validation_fraction, give the task more questions, or set students.checkpoint_selection "
            "to last.",
        )


def _open_base(trial: Trial) -> Student:
    """Open the student as its training finds it."""
    student = open_student(trial.location)
    return with_lora(student, trial.settings.lora_rank) if trial.settings.lora_rank else student


def _ignore_report(report: Report, checkpoint: Path | None) -> None:
    pass


def _is_finite(student: Student) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in student.model.parameters())


def encode_rows(rows: pa.Table, student: Student, trial: Trial) -> list[batching.Sample]:
    """Return the token ids of training rows.

    Raises:
        StudentError: a row is longer than the model has positions for.
    """
    seq2seq = student.seq2seq
    answer_only = METHODS[trial.method].target == "answer"
    prompts = []
    targets = []
    for row in rows.to_pylist():
        prompts.append(templates.prompt(row["question"], seq2seq=seq2seq))
        target = templates.target(row["rationale"], row["answer"], seq2seq=seq2seq, answer_only=answer_only)
        targets.append(target)
    samples = batching.encode(
        prompts,
        targets,
        student.tokenizer,
        seq2seq=seq2seq,
        max_input=trial.settings.max_input_tokens,
        max_output=trial.settings.max_output_tokens,
    )
    if student.context is not None:
        _check_lengths(samples, rows["question_id"].to_pylist(), trial, student.context, seq2seq=seq2seq)
    return samples


def _check_lengths(
    samples: Sequence[batching.Sample], question_ids: Sequence[str], trial: Trial, context: int, *, seq2seq: bool
) -> None:
    for sample, question_id in zip(samples, question_ids, strict=True):
        # An encoder-decoder has positions for each of the two.
        length = max(len(sample.prompt), len(sample.target)) if seq2seq else sample.length
        if length > context:
            raise StudentError(
                f"The training row of question {question_id} ({trial.task}, {trial.method}) has {length} tokens, "
                f"but {trial.student} has positions for {context}.",
                "Lower students.max_input_tokens or students.max_output_tokens, or take another student.",
            )

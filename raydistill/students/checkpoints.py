"""Weights on disk: what a trained student is saved as, and what a restart of its training needs."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers.trainer_utils import get_last_checkpoint

from raydistill.config import StudentSettings
from raydistill.students import sharding
from raydistill.students.models import Student, compute_dtype
from raydistill.students.reports import Report


def saved_dtype(settings: StudentSettings, bf16: bool) -> torch.dtype:
    """Return the numbers that a student's weights are saved in; `bf16`: it was trained in bfloat16."""
    return compute_dtype(bf16 and settings.save_precision == "as_trained")


def save(student: Student, folder: Path, dtype: torch.dtype) -> None:
    """Write a folder that `from_pretrained` opens; ends the student's training."""
    model = sharding.merged(student.model).to(dtype)
    model.config.use_cache = True
    model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)


def report_to_ray(report: Report, checkpoint: Path | None) -> None:
    """Report to Ray Train; the first worker hands over the folder of a checkpoint. Every worker must call."""
    import ray.train

    metrics = dict(report)
    if checkpoint is not None and sharding.rank() == 0:
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(checkpoint))
    else:
        ray.train.report(metrics)


def restore_from_ray(work: Path) -> None:
    """After a restart by Ray Train: copy the last epoch's state to `work`."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        checkpoint.to_directory(str(work))


def last_checkpoint(work: Path) -> str | None:
    """Return the Trainer's last checkpoint in `work`; None if there is none."""
    return get_last_checkpoint(str(work)) if work.is_dir() else None

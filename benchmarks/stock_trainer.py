"""`transformers.Trainer` as a user sets it up, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from student_trials import SETTINGS, scratch
from transformers import PrinterCallback, Trainer, TrainingArguments

from raydistill.students import batching, models


def stock(student: models.Student, rows: list[batching.Sample], *, bf16: bool, longest: bool) -> Trainer:
    """Do what a user writes: examples with labels, a padding collator, `Trainer`."""
    pad = student.tokenizer.pad_token_id
    examples = [make_example(sample, student.seq2seq) for sample in rows]
    width = widths(examples) if longest else None
    arguments = TrainingArguments(
        output_dir=scratch(),
        num_train_epochs=1,
        learning_rate=SETTINGS.learning_rate,
        lr_scheduler_type="constant",
        per_device_train_batch_size=SETTINGS.per_device_train_batch_size,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=student.model,
        args=arguments,
        train_dataset=examples,  # type: ignore[arg-type]
        data_collator=partial(pad_batch, pad=pad, width=width),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


Example = dict[str, list[int]]
"""input_ids and labels of one row."""


def make_example(sample: batching.Sample, seq2seq: bool) -> Example:
    """Return a row as the Trainer takes it; a decoder's prompt carries no loss."""
    if seq2seq:
        return {"input_ids": sample.prompt, "labels": sample.target}
    return {"input_ids": sample.prompt + sample.target, "labels": [-100] * len(sample.prompt) + sample.target}


def widths(examples: Sequence[Example]) -> dict[str, int]:
    """Return the longest length of each field."""
    return {
        "input_ids": max(len(example["input_ids"]) for example in examples),
        "labels": max(len(example["labels"]) for example in examples),
    }


def pad_batch(examples: Sequence[Example], pad: int, width: dict[str, int] | None) -> dict[str, torch.Tensor]:
    """Pad to the batch's longest row, or to `width`."""
    width = width or widths(examples)
    batch: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for example in examples:
        ids = example["input_ids"]
        labels = example["labels"]
        padding = width["input_ids"] - len(ids)
        batch["input_ids"].append(ids + [pad] * padding)
        batch["attention_mask"].append([1] * len(ids) + [0] * padding)
        batch["labels"].append(labels + [-100] * (width["labels"] - len(labels)))
    return {name: torch.tensor(rows) for name, rows in batch.items()}

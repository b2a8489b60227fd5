"""The `transformers` Trainer of a student, and its loss.

The Trainer does the steps. What it is given makes it fast: batches of rows of about the same length, bf16 autocast if
the hardware has it, a fused AdamW, and logits computed only where there is something to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.modeling_outputs import CausalLMOutput, Seq2SeqLMOutput

from raydistill.config import StudentSettings
from raydistill.students import batching, sharding
from raydistill.students.models import Student, accepts, use_bf16

Batch = dict[str, torch.Tensor]


def make_trainer(
    student: Student,
    samples: Sequence[batching.Sample],
    held_out: Sequence[batching.Sample],
    settings: StudentSettings,
    output_dir: str,
    seed: int,
    run_name: str = "student",
    gpu: bool = False,
) -> Trainer:
    """Return a Trainer that buckets by length and computes the loss on target tokens only.

    Args:
        student: to train.
        samples: training rows.
        held_out: rows for the validation loss.
        settings: how to train.
        output_dir: folder of the Trainer's checkpoints.
        seed: of the order of rows, and of dropout.
        run_name: for trackers.
        gpu: train on a GPU.
    """
    arguments = training_arguments(settings, output_dir, seed, run_name, gpu)
    model = student.model
    model.config.use_cache = False
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # Rows of like length for all workers of a step, not just for one: none waits for another.
    rows_per_step = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * arguments.world_size
    lengths = [sample.length for sample in samples]

    class BucketTrainer(Trainer):
        def _get_train_sampler(self, train_dataset: object = None) -> torch.utils.data.Sampler[int]:
            return batching.LengthBuckets(lengths, rows_per_step, seed)

    trainer = BucketTrainer(
        model=model,
        args=arguments,
        data_collator=_collator(student),
        train_dataset=list(samples),
        eval_dataset=list(held_out),
        compute_loss_func=partial(loss, shifted=not student.seq2seq),
    )
    trainer.remove_callback(PrinterCallback)
    sharding.prepare(trainer, student)
    return trainer


def training_arguments(
    settings: StudentSettings, output_dir: str, seed: int, run_name: str, gpu: bool
) -> TrainingArguments:
    """Return the settings as `transformers` takes them.

    Args:
        settings: how to train.
        output_dir: folder of the Trainer's checkpoints.
        seed: of dropout.
        run_name: for trackers.
        gpu: train on a GPU.
    """
    return TrainingArguments(
        output_dir=output_dir,
        num_train_epochs=settings.num_train_epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_scheduler_type(settings),
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
        logging_strategy="no",  # TrainingCallback says when
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


def _scheduler_type(settings: StudentSettings) -> str:
    """Return the schedule's name; `transformers` has another one for a constant rate that is warmed up to."""
    if settings.lr_scheduler_type == "constant" and settings.warmup_steps > 0:
        return "constant_with_warmup"
    return settings.lr_scheduler_type


def _collator(student: Student) -> Callable[[Sequence[batching.Sample]], Batch]:
    """Return what makes a batch of rows, without `logits_to_keep` if the model takes none."""
    collate = partial(
        batching.collate, pad=student.tokenizer.pad_token_id, seq2seq=student.seq2seq, start=student.start
    )
    if accepts(student.model, "logits_to_keep"):
        return collate

    def collate_for_all_logits(samples: Sequence[batching.Sample]) -> Batch:
        batch = collate(samples)
        batch.pop("logits_to_keep", None)
        return batch

    return collate_for_all_logits


def loss(
    outputs: CausalLMOutput | Seq2SeqLMOutput,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    *,
    shifted: bool,
) -> torch.Tensor:
    """Return the cross entropy, summed over target tokens and divided by their number in the whole step.

    Args:
        outputs: of the model; `logits` is rows × positions × vocabulary. A decoder's may begin late (`logits_to_keep`).
        labels: rows × positions, `batching.IGNORED` where there is nothing to learn.
        num_items_in_batch: target tokens of the step, over batches and workers; those of this batch if None.
        shifted: logits predict the token after (decoders) rather than the one in their place.
    """
    logits = outputs.logits
    assert logits is not None
    if shifted:
        if logits.shape[1] == labels.shape[1]:
            logits = logits[:, :-1]
        first = labels.shape[1] - logits.shape[1]
        labels = labels[:, first:]
    is_target = labels != batching.IGNORED
    # Positions without a label are left out before the rest is widened to float32.
    target_logits = logits[is_target].float()
    total = torch.nn.functional.cross_entropy(target_logits, labels[is_target], reduction="sum")
    count = is_target.sum() if num_items_in_batch is None else num_items_in_batch
    return total / count

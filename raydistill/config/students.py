"""Settings of the students: training, search, and the cascade with their teacher."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raydistill.config.base import Affects, MethodName, Section
from raydistill.method import methods


class StudentSettings(Section):
    """Which students are trained on what, and how they are trained and evaluated."""

    models: Annotated[list[str], Affects.GRID] = ["smollm2-135m"]
    """Models to train: smollm2-135m (from PyPI), hub ids (t5-small, google/flan-t5-base, gpt2 …) or folders."""
    methods: Annotated[list[MethodName], Affects.GRID] = Field(
        ["vanilla", "new_fine_tune_cot"],
        description="How the students are trained. "
        + " ".join(f"{method.name}: {method.label}." for method in methods.trained()),
    )
    degrees: Annotated[list[int], Affects.GRID] = [1]
    """Degrees of reasoning D, the number of rationales per train question. D = 1 is greedy, D > 1 is sampled."""
    evaluate_untrained: Annotated[bool, Affects.GRID] = True
    """Evaluate each student before training too, on direct answers."""
    evaluate_untrained_cot: Annotated[bool, Affects.GRID] = False
    """Evaluate each student before training on answers after "Let's think step by step." (zero-shot-CoT). Slow, because
    untrained students rarely stop by themselves: 75 s for the quickstart's 150 test questions on two cores."""
    seeds: Annotated[list[int], Affects.GRID] = [0]
    """Random seeds; each is a trial of its own."""
    num_train_epochs: int = Field(20, ge=1)
    """Passes over the training rows."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimiser steps, even if `num_train_epochs` are not over."""
    learning_rate: float = Field(3e-4, gt=0)
    """Highest learning rate of AdamW."""
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "constant"
    """Schedule of the learning rate."""
    warmup_steps: float = Field(0.0, ge=0)
    """Optimiser steps in which the learning rate rises; a value below 1 is a fraction of all steps."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(0.0, ge=0)
    """Clip gradients to this norm; 0: no clipping."""
    per_device_train_batch_size: int = Field(8, ge=1)
    """Rows per batch on each worker."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches per optimiser step. Rows per step: batch size × these × workers."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], Affects.RESULT | Affects.PREDICTIONS] = "auto"
    """Number format in training and generation. auto: bf16 on hardware that is fast at it, else fp32. fp16 is not
    offered, because T5 overflows in it."""
    save_precision: Literal["as_trained", "fp32"] = "as_trained"
    """Number format of saved weights. as_trained: students trained in bf16 are saved in bf16, at half the size."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    lora_rank: int = Field(0, ge=0)
    """Train LoRA adapters of this rank on all linear layers (extra `lora`); 0: train all weights."""
    max_input_tokens: Annotated[int, Affects.RESULT | Affects.PREDICTIONS] = Field(512, ge=8)
    """Length limit of a prompt in tokens; longer ones are cut at the end."""
    max_output_tokens: int = Field(512, ge=8)
    """Length limit of a training completion in tokens; longer ones are cut at the end."""
    max_new_tokens: Annotated[int, Affects.PREDICTIONS] = Field(256, ge=1)
    """Length limit of a generated rationale with its answer, in tokens."""
    answer_max_new_tokens: Annotated[int, Affects.PREDICTIONS] = Field(32, ge=1)
    """Length limit of an answer without a rationale (students that are untrained or trained on answers), in tokens."""
    generation_batch_size: Annotated[int, Affects.NOTHING] = Field(64, ge=1)
    """Questions that a student answers in one batch."""
    validation_fraction: float = Field(0.0, ge=0, lt=0.5)
    """Fraction of the train questions that is kept out of training, to choose the epoch on."""
    checkpoint_selection: Literal["last", "validation", "best_on_test"] = "last"
    """Which epoch's weights are kept. last: the last. validation: the best on the validation questions. best_on_test:
    the best on the test questions, as the paper reports; its accuracy is optimistic."""
    evaluate_every_epoch: bool = False
    """Evaluate on the test questions after every epoch (required for best_on_test)."""
    canonical_answers: bool = False
    """Write numbers as "43" in training texts, not as "43.0" as the benchmark does."""
    num_workers: int = Field(1, ge=0)
    """Ray Train workers per trial; 0 trains in the driver's process, as --local does."""
    cpus_per_worker: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """CPUs (and threads) per worker; by default the machine's cores divided by the workers that train at once."""
    gpus_per_worker: Annotated[float | None, Affects.NOTHING] = Field(None, ge=0)
    """GPUs per worker; by default 1 if Ray has any. A fraction lets small students share a GPU."""
    sharding: Annotated[Literal["none", "fsdp"], Affects.NOTHING] = "none"
    """fsdp: divide weights, gradients and optimiser state over the workers of a trial (torch's FSDP2), for students
    that are too large for one. Saved weights are whole. evaluate_every_epoch still needs a whole copy on each
    worker."""
    max_concurrent_trials: Annotated[int, Affects.NOTHING] = Field(1, ge=1)
    """Trials that train at once, and students that are evaluated at once."""
    checkpoint_interval_s: Annotated[float, Affects.NOTHING] = Field(300, ge=0)
    """Seconds of training after which the next end of an epoch saves weights and optimiser state for a restart; 0:
    after every epoch. For a moment they take up disk space twice."""
    report_to: Annotated[list[Literal["tensorboard", "mlflow", "wandb"]], Affects.NOTHING] = []
    """Experiment trackers to log to as well. tensorboard writes to the trial's folder. mlflow and wandb must be
    installed and take address and key from the environment of the workers."""
    push_to_hub: Annotated[str | None, Affects.NOTHING] = Field(None, pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Upload each trained student to the Hugging Face hub after evaluation: OWNER or OWNER/PREFIX. Repositories are
    private. The token comes from HF_TOKEN or `hf auth login`. A failed upload is reported and does not end the run."""
    max_failures: Annotated[int, Affects.NOTHING] = Field(2, ge=0)
    """How often a trial is continued from its last checkpoint after a worker or a node was lost."""


class SearchSettings(Section):
    """The search for students' hyper-parameters (`raydistill tune`), compared on validation questions."""

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    """grid: every pair of values. random: `num_samples` pairs, the learning rate log-uniform between its extremes.
    optuna: the same space, each trial chosen by the results of the earlier ones (extra `search`)."""
    learning_rates: list[float] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]
    """Learning rates to try (those of Ho et al. 2023)."""
    per_device_train_batch_sizes: list[int] = [1, 2, 4, 8, 16, 32]
    """Batch sizes per worker to try (those of Ho et al. 2023)."""
    num_samples: int = Field(12, ge=1)
    """Number of trials of random and optuna."""
    early_stopping: bool = True
    """End trials early that fall behind the others (ASHA)."""


class CascadeSettings(Section):
    """Students that pass questions on to the teacher if they are unsure (`raydistill cascade`)."""

    teacher_fraction: float = Field(0.2, ge=0, le=1)
    """Largest fraction of the questions that may go to the teacher; the best threshold within it is chosen."""
    accuracy: float | None = Field(None, ge=0, le=1)
    """Accuracy (0 to 1) to reach with as few teacher calls as possible, in place of `teacher_fraction`."""
    votes: int = Field(0, ge=0)
    """Number of answers to sample per question. The fraction that agrees is a second measure of confidence, beside
    token probabilities; 0: token probabilities alone."""
    temperature: float = Field(0.7, gt=0)
    """Sampling temperature of the votes."""

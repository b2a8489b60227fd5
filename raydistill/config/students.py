"""Settings of the students: training, search, and the cascade with their teacher."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raydistill.config.base import Affects, MethodName, Section


class StudentSettings(Section):
    models: Annotated[list[str], Affects.GRID] = ["smollm2-135m"]
    """Students: smollm2-135m (embedded), hub ids (t5-small, google/flan-t5-base, gpt2 …) or folders."""
    methods: Annotated[list[MethodName], Affects.GRID] = ["vanilla", "new_fine_tune_cot"]
    """Training texts: vanilla (answers alone), fine_tune_cot (zero-shot rationales), few_shot_unfiltered, new_fine_tune_cot."""
    degrees: Annotated[list[int], Affects.GRID] = [1]
    """Degrees of reasoning D: rationales per train question; 1 is the greedy one, D > 1 are sampled."""
    evaluate_untrained: Annotated[bool, Affects.GRID] = True
    """Evaluate each student before training too, by the answers that it gives at once."""
    evaluate_untrained_cot: Annotated[bool, Affects.GRID] = False
    """Evaluate each student before training also after "Let's think step by step." (zero-shot-CoT); off, because an
    untrained student rarely stops by itself: 75 s for the quickstart's 150 test questions on two cores."""
    seeds: Annotated[list[int], Affects.GRID] = [0]
    """One trial for each seed."""
    num_train_epochs: int = Field(20, ge=1)
    """Passes over the training rows."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimiser steps, whatever `epochs` says."""
    learning_rate: float = Field(3e-4, gt=0)
    """AdamW's learning rate."""
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "constant"
    """Schedule of the learning rate."""
    warmup_steps: float = Field(0.0, ge=0)
    """Steps with a rising learning rate: a number of steps, or below 1 a fraction of all (as transformers has it)."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(0.0, ge=0)
    """Gradient clipping; 0: none."""
    per_device_train_batch_size: int = Field(8, ge=1)
    """Rows per batch and worker."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches per optimiser step (rows per step: batch size × these × workers)."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], Affects.RESULT | Affects.PREDICTIONS] = "auto"
    """auto: bf16 where the hardware is fast at it; fp16 is not offered (T5 breaks in it)."""
    save_precision: Literal["as_trained", "fp32"] = "as_trained"
    """as_trained: students trained in bf16 are saved in bf16, half the size, in the numbers that they are judged in."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    lora_rank: int = Field(0, ge=0)
    """Train LoRA adapters of this rank on all linear layers (needs the extra `lora`); 0: all weights."""
    max_input_tokens: Annotated[int, Affects.RESULT | Affects.PREDICTIONS] = Field(512, ge=8)
    """Longer prompts are cut at the end."""
    max_output_tokens: int = Field(512, ge=8)
    """Longer training completions are cut at the end."""
    max_new_tokens: Annotated[int, Affects.PREDICTIONS] = Field(256, ge=1)
    """Token limit of a generated rationale with its answer."""
    answer_max_new_tokens: Annotated[int, Affects.PREDICTIONS] = Field(32, ge=1)
    """Token limit of an answer written without a rationale (students that are untrained or trained on answers)."""
    generation_batch_size: Annotated[int, Affects.NOTHING] = Field(64, ge=1)
    """Questions generated at once."""
    validation_fraction: float = Field(0.0, ge=0, lt=0.5)
    """Fraction of the train questions kept out of training to choose the epoch by."""
    checkpoint_selection: Literal["last", "validation", "best_on_test"] = "last"
    """Which epoch's weights are kept: best_on_test is comparable with the paper, and optimistic."""
    evaluate_every_epoch: bool = False
    """Evaluate on the test questions after every epoch (needed for best_on_test)."""
    canonical_answers: bool = False
    """Write numbers as "43" rather than the benchmark's "43.0" in the training text."""
    num_workers: int = Field(1, ge=0)
    """Ray Train workers per trial; 0 trains in this process (what --local sets)."""
    cpus_per_worker: Annotated[float | None, Affects.NOTHING] = Field(None, gt=0)
    """CPUs (threads) per worker; by default the machine's cores shared out over the workers of concurrent trials."""
    gpus_per_worker: Annotated[float | None, Affects.NOTHING] = Field(None, ge=0)
    """GPUs per worker; fractions let small students share one; by default one where Ray has any."""
    sharding: Annotated[Literal["none", "fsdp"], Affects.NOTHING] = "none"
    """fsdp: the workers of a trial share out its weights, gradients and optimiser state, for students too large for
    one of them (torch's FSDP2); what is saved is whole. Judging every epoch still takes a whole copy on each worker."""
    max_concurrent_trials: Annotated[int, Affects.NOTHING] = Field(1, ge=1)
    """Trials that train at once (and students that answer at once)."""
    checkpoint_interval_s: Annotated[float, Affects.NOTHING] = Field(300, ge=0)
    """An epoch's end saves what a restart needs after so many seconds of training (weights and optimiser state, on
    disk twice for a moment); 0: every epoch."""
    report_to: Annotated[list[Literal["tensorboard", "mlflow", "wandb"]], Affects.NOTHING] = []
    """Where training also logs to: tensorboard writes to the trial's folder; mlflow and wandb must be installed and
    take address and key from the workers' environment."""
    push_to_hub: Annotated[str | None, Affects.NOTHING] = Field(None, pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Upload each trained student to the Hugging Face hub after judging: OWNER or OWNER/PREFIX; repositories are made
    private. The token comes from HF_TOKEN or `hf auth login`; what cannot be uploaded is said and kept."""
    max_failures: Annotated[int, Affects.NOTHING] = Field(2, ge=0)
    """How often a trial goes on from its last epoch after a worker or a node was lost."""


class SearchSettings(Section):
    """The search for students' hyper-parameters (jobs/tune_students.py), judged on validation questions."""

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    """grid: every pair of values; random: `trials` of them, the learning rate log-uniform between its extremes; optuna:
    the same space, each trial chosen by what the earlier ones gave (needs the extra `search`)."""
    learning_rates: list[float] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]
    """Learning rates to try (those of Ho et al. 2023)."""
    per_device_train_batch_sizes: list[int] = [1, 2, 4, 8, 16, 32]
    """Batch sizes to try (those of Ho et al. 2023)."""
    num_samples: int = Field(12, ge=1)
    """Trials of random and optuna."""
    early_stopping: bool = True
    """End trials that fall behind after an epoch (ASHA)."""


class CascadeSettings(Section):
    """Students that pass what they are unsure of on to the teacher (jobs/cascade.py)."""

    teacher_fraction: float = Field(0.2, ge=0, le=1)
    """Largest share of the questions that may go to the teacher; the threshold is the best within it."""
    accuracy: float | None = Field(None, ge=0, le=1)
    """Accuracy to reach with as few teacher calls as can be; in place of `teacher_fraction`."""
    votes: int = Field(0, ge=0)
    """Answers sampled for each question; the share that agree is a second confidence; 0: token probabilities alone."""
    temperature: float = Field(0.7, gt=0)
    """Sampling temperature of the votes."""

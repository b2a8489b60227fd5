"""A student whose weights, gradients and optimiser state are shared out over a trial's workers (torch's FSDP2).

`transformers` and `accelerate` do it; what is here is what they leave out: CPUs, encoder-decoders whose embeddings are
tied, and the whole model, gathered again, for evaluating and saving.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule

from raydistill.students.models import Student

if TYPE_CHECKING:
    from transformers import Trainer


def rank() -> int:
    """Return this worker's number in its trial, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def world() -> int:
    """Return how many workers this trial has."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def arguments(sharding: str, workers: int) -> dict[str, Any]:
    """Return what TrainingArguments takes for `students.sharding`; nothing for one worker, which has all weights."""
    if sharding != "fsdp" or workers == 1:
        return {}
    return {"fsdp": True, "fsdp_config": {"version": 2}}


def prepare(trainer: Trainer, student: Student) -> None:
    """Make `trainer` ready to shard `student`'s model when it begins to train, if its arguments ask for that."""
    if not trainer.args.fsdp:
        return
    if student.seq2seq:
        # Embeddings of encoder and decoder share a weight but are modules apart: FSDP2 wants a shared weight's modules
        # in one group, and accelerate 1.15 puts just the input's and the output's there. As one module they are.
        student.model.set_input_embeddings(student.model.get_input_embeddings())
    if trainer.args.device.type == "cpu" and not trainer.is_fsdp_enabled:
        _enable_on_cpu(trainer)


def _enable_on_cpu(trainer: Trainer) -> None:
    """Set what accelerate sets on GPUs only, though torch shards on CPUs as well (gloo)."""
    from accelerate import DistributedType, FullyShardedDataParallelPlugin
    from accelerate.state import PartialState

    plugin_options: dict[str, Any] = trainer.args.fsdp_plugin_args or {}
    plugin = FullyShardedDataParallelPlugin(**plugin_options)
    state = trainer.accelerator.state
    if state.mixed_precision != "no":
        plugin.set_mixed_precision(state.mixed_precision)
    for accelerate_state in (state, PartialState()):
        accelerate_state.__dict__["distributed_type"] = DistributedType.FSDP
    state.fsdp_plugin = plugin
    trainer.is_fsdp_enabled = True


def is_sharded(model: torch.nn.Module) -> bool:
    """Return True if the model is in a sharded training, or was."""
    return isinstance(model, FSDPModule)


def gathered(student: Student, open_base: Callable[[], Student]) -> Student | None:
    """Return the student with its whole model on the first worker, None on others; as it is if nothing is sharded.

    Every worker must call. `open_base` opens the student as it was before training.
    """
    if not is_sharded(student.model):
        return student
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(student.model, options=options)
    return _filled(open_base(), state) if state else None


def copied(student: Student, open_base: Callable[[], Student], dtype: torch.dtype, device: torch.device) -> Student:
    """Return a whole copy of the student in the middle of training, LoRA merged, on each worker.

    Every worker must call.

    Args:
        student: in training.
        open_base: opens it as it was before training.
        dtype: of the copy's weights.
        device: of the copy.
    """
    if is_sharded(student.model):
        state = get_model_state_dict(student.model, options=StateDictOptions(full_state_dict=True))
        model = _filled(open_base(), state).model
    else:
        model = copy.deepcopy(student.model)
        model.__dict__.pop("forward", None)  # accelerate's autocast and its widening of all outputs to float32
    return student._replace(model=merged(model).to(device=device, dtype=dtype))


def merged(model: Any) -> Any:
    """Return the model with its LoRA adapters, if it has any, added to the weights."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def _filled(student: Student, state: dict[str, Any]) -> Student:
    student.model.load_state_dict(state)
    return student

"""Opening a student by name: the embedded SmolLM2, a Hugging Face hub id, or a folder; encoder-decoder or decoder."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from raydistill.runtime.errors import UserError
from raydistill.runtime.formatting import first_line
from raydistill.students import model_folders

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

EMBEDDED = "smollm2-135m"


class StudentError(UserError):
    """A student cannot be opened or trained; the trial fails alone and the text says why."""


class Student(NamedTuple):
    """A model with its tokenizer."""

    model: Any
    """A PreTrainedModel, or peft's around one, or torch's FSDP module of one."""
    tokenizer: PreTrainedTokenizerBase
    seq2seq: bool
    """An encoder-decoder rather than a decoder."""

    @property
    def context(self) -> int | None:
        """Longest sequence in tokens that the model has positions for; None if positions are relative."""
        return getattr(self.model.config, "max_position_embeddings", None)

    @property
    def start(self) -> int:
        """First token of an encoder-decoder's output."""
        start = getattr(self.model.config, "decoder_start_token_id", None)
        return start if start is not None else self.tokenizer.pad_token_id


def locate(name: str) -> str:
    """Return student `name` as every node understands it: folders made absolute, other names as they are."""
    path = Path(name).expanduser()
    is_folder = name != EMBEDDED and path.is_dir()
    return str(path.resolve()) if is_folder else name


def fetch(location: str) -> str:
    """Return what `from_pretrained` opens on this machine.

    The embedded student is unpacked at its first use, a folder behind a URI is copied here; hub ids and paths stay as
    they are.
    """
    if location == EMBEDDED:
        from raydistill.runtime import weights

        return str(weights.smollm2_folder())
    return model_folders.fetch(location) if "://" in location else location


def check(location: str) -> None:
    """Read a student's configuration and tokenizer only, so that a wrong name costs no training start.

    Raises:
        StudentError: see `open_student`.
    """
    folder = fetch(location)
    _tokenizer(folder, _config(folder))


def open_student(location: str, *, dtype: torch.dtype = torch.float32) -> Student:
    """Load model and tokenizer of a student as `locate` names it, or of a checkpoint, for training or generation.

    Raises:
        StudentError: there is no such model, it is no text-to-text model, or its tokenizer has no end token.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # of loading and saving weights, over our own line
    location = fetch(location)
    config = _config(location)
    tokenizer = _tokenizer(location, config)
    seq2seq = bool(config.is_encoder_decoder)
    model_class = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    with _named(location):
        model = model_class.from_pretrained(location, dtype=dtype)
    return Student(model, tokenizer, seq2seq)


def _config(location: str) -> PretrainedConfig:
    from transformers import AutoConfig

    # Its retries would be shown; what comes of them is in the error below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    with _named(location):
        return AutoConfig.from_pretrained(location)


def _tokenizer(location: str, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    with _named(location):
        tokenizer = AutoTokenizer.from_pretrained(location, config=config)
    if tokenizer.eos_token_id is None:
        raise StudentError(f"The tokenizer of {location} has no end-of-sequence token: no answer of it would ever end.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked, or behind the last label, wherever it stands
    return tokenizer


@contextmanager
def _named(location: str) -> Iterator[None]:
    """Turn whatever the readers of torn or foreign files raise into an error that names the student."""
    try:
        yield
    except Exception as error:
        raise StudentError(
            f"The student {location} cannot be opened: {first_line(error)}",
            "students.models takes smollm2-135m, a Hugging Face hub id (needs the hub, or its cache) or a folder.",
        ) from None


def with_lora(student: Student, rank: int) -> Student:
    """Return the student with LoRA adapters on all linear layers but the output's, everything else frozen.

    Raises:
        StudentError: peft is not installed.
    """
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError:
        raise StudentError("students.lora_rank: peft is not installed.", "pip install 'raydistill[lora]'") from None
    task = TaskType.SEQ_2_SEQ_LM if student.seq2seq else TaskType.CAUSAL_LM
    lora = LoraConfig(task_type=task, r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    return student._replace(model=get_peft_model(student.model, lora))


def accepts(model: Any, argument: str) -> bool:
    """Return True if the model's `forward` takes `argument` (that of the model under LoRA adapters)."""
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return argument in inspect.signature(type(model).forward).parameters


def compute_dtype(bf16: bool) -> torch.dtype:
    """Return the numbers that a student computes in."""
    return torch.bfloat16 if bf16 else torch.float32


def use_bf16(precision: str, gpu: bool) -> bool:
    """Return True to compute in bfloat16; with "auto" if the hardware multiplies it faster than float32."""
    if precision != "auto":
        return precision == "bf16"
    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):
        return False  # older torch cannot tell: float32 is always right
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))

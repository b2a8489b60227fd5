"""The real llama.cpp server around the real SmolLM2."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import openai
import pyarrow as pa
import pytest

from raydistill import tasks
from raydistill.cli.arguments import parse_settings
from raydistill.config import LocalServerSettings
from raydistill.runtime import weights
from raydistill.runtime.errors import TeacherError
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.teacher import inspect, local_server, plan, stage
from raydistill.teacher.open_endpoint import open_endpoint

TEXTS = [
    "A coin is heads up. Whitney flips the coin. Erika doesn't flip it.",
    "The answer is 43.0 --> yes",
    " Lisa bought 5,000 eggs at $3.50 each: 5 * 3 = 15; 1/4, 50% and 12:30.",
    "Q: What is it?\nA: Let's think step by step.\n\n1. First\n\t2.  Second   ###",
    'letters of "José Ñandú Zoë" give éúë',
    "(A) orange ball, (B) white ball, (C) blue ball.",
    "naïve café — “quotes” … 漢字 🙂 €",
    "did n't , Sara 's ; x_1 ** y",
    " leading and trailing ",
    "",
]


@pytest.fixture(scope="module")
def server() -> Iterator[local_server.LocalServer]:
    with local_server.serve(LocalServerSettings(context_tokens=512, parallel=2)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: local_server.LocalServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=120)


def native(server: local_server.LocalServer, path: str, body: Any = None) -> Any:
    """A route of llama.cpp beside OpenAI's."""
    url = server.base_url.removesuffix("/v1") + path
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as response:
        return json.load(response)


def test_completions(server: local_server.LocalServer, client: openai.OpenAI) -> None:
    assert server.model == "SmolLM2-135M-Instruct.Q4_1"
    assert [model.id for model in client.models.list()] == [server.model]
    greedy = {"model": server.model, "prompt": "The capital of France is", "temperature": 0}
    response = client.completions.create(**greedy, max_tokens=8)
    assert response.choices[0].text.startswith(" Paris")
    assert response.choices[0].finish_reason == "length"
    assert response.usage
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (5, 8)
    stopped = client.completions.create(**greedy, max_tokens=8, stop=[" is", "."])
    assert (stopped.choices[0].text, stopped.choices[0].finish_reason) == (" Paris", "stop")


def test_n_samples_and_its_limit(server: local_server.LocalServer, client: openai.OpenAI) -> None:
    request = {"model": server.model, "prompt": "Once upon a time", "max_tokens": 12, "temperature": 1.0}
    response = client.completions.create(**request, n=2)
    assert [choice.index for choice in response.choices] == [0, 1]
    assert len({choice.text for choice in response.choices}) == 2
    with pytest.raises(openai.BadRequestError, match="'n'"):
        client.completions.create(**request, n=3)


def test_chat(server: local_server.LocalServer, client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "What is 2+2?"}]
    response = client.chat.completions.create(model=server.model, messages=messages, max_tokens=30, temperature=0)
    assert "4" in (response.choices[0].message.content or "")
    assert response.choices[0].finish_reason == "stop"


def test_each_of_several_requests_at_once_has_the_whole_context(
    server: local_server.LocalServer, client: openai.OpenAI
) -> None:
    def prompt_tokens(words: int) -> int:
        usage = client.completions.create(model=server.model, prompt="a" + " a" * (words - 1), max_tokens=4).usage
        assert usage
        return usage.prompt_tokens

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(prompt_tokens, [400, 300, 400, 300])] == [400, 300, 400, 300]
    with pytest.raises(openai.BadRequestError, match=r"exceeds the available context size \(512 tokens\)"):
        prompt_tokens(600)


def test_the_converted_tokenizer_is_the_ggufs_own(server: local_server.LocalServer) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.smollm2_folder())
    rng = Random(0)
    mixed = ["".join(rng.choices("ab N.,'\"1290 \n\t$-é", k=40)) for _ in range(200)]
    for text in TEXTS + mixed:
        tokens = native(server, "/tokenize", {"content": text})["tokens"]
        assert tokenizer(text).input_ids == tokens
        assert tokenizer.decode(tokens) == text
        assert native(server, "/detokenize", {"tokens": tokens})["content"] == text
    special = native(server, "/tokenize", {"content": "hi<|im_end|>", "parse_special": True})["tokens"]
    assert tokenizer("hi<|im_end|>").input_ids == special
    assert special[-1] == tokenizer.eos_token_id


def test_the_converted_model_predicts_as_the_server_does(
    server: local_server.LocalServer, client: openai.OpenAI
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = weights.smollm2_folder()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    for prompt in ("The capital of France is", "One, two, three,", "A coin is heads up. Ann flips the coin. It is"):
        response = client.completions.create(
            model=server.model, prompt=prompt, max_tokens=1, temperature=0, logprobs=5
        ).model_dump()["choices"][0]["logprobs"]
        theirs = {t["token"]: t["logprob"] for t in response["content"][0]["top_logprobs"]}
        with torch.no_grad():
            ours = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].log_softmax(-1)
        for token, logprob in theirs.items():
            (token_id,) = tokenizer(token).input_ids
            # llama.cpp rounds activations to 8 bits, the folder's model does not
            assert ours[token_id].item() == pytest.approx(logprob, abs=0.35), (prompt, token)


@pytest.mark.usefixtures("local_ray")
def test_as_an_api_it_goes_through_both_stages(server: local_server.LocalServer, tmp_path: Path) -> None:
    """A real OpenAI-compatible server, addressed like any other; every text is a model's."""
    flags = f"--teacher api --teacher.base_url {server.base_url} --teacher.model {server.model} --run_dir {tmp_path}"
    flags += " --questions.source generated --questions.limit_train 3 --questions.limit_test 1 --students.degrees [1,2]"
    flags += " --teacher.zero_shot_max_tokens 12 --teacher.few_shot_max_tokens 12 --teacher.answer_max_tokens 6"
    settings = parse_settings(["configs/quickstart.yaml", *flags.split()])
    questions = tasks.load_questions(settings.questions, settings.seed)
    shown = {"rationale": "It is up.", "answer": "yes", "method": "new_fine_tune_cot"}
    exemplars = pa.Table.from_pylist([questions.to_pylist()[0] | shown])
    store, progress = Store(settings.run_path), Progress(io.StringIO())
    with open_endpoint(settings.teacher) as endpoint:
        for name, asked in (
            ("zero_shot", plan.zero_shot_prompts(questions, settings)),
            ("few_shot", plan.few_shot_prompts(questions, exemplars, settings)),
        ):
            samples = stage.run(name, asked, settings, endpoint, store, progress).to_pylist()
            assert len(samples) == sum(asked["degree"].to_pylist())
            assert not any(row["error"] for row in samples)
            assert all(row["prompt_tokens"] for row in samples if row["sample_index"] == 0)
            assert len({row["rationale"] for row in samples}) > 1
    assert "few_shot" in inspect.report(settings.run_path)


def test_it_does_not_outlive_a_killed_parent() -> None:
    code = (
        "import time\nfrom raydistill.config import LocalServerSettings\nfrom raydistill.teacher import local_server\n"
        "with local_server.serve(LocalServerSettings(context_tokens=256, parallel=1)) as server:\n"
        "    print(server.base_url, flush=True)\n    time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        server = local_server.LocalServer(parent.stdout.readline().strip(), "")
        assert native(server, "/health") == {"status": "ok"}
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(100):
        try:
            native(server, "/health")
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the server still answers")


def test_a_model_file_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    text, broken = tmp_path / "text.gguf", tmp_path / "broken.gguf"
    text.write_text("hello")
    broken.write_bytes(weights.smollm2_gguf().read_bytes()[:1_000_000])
    for path, message in (
        (tmp_path / "none.gguf", "no GGUF file"),
        (text, "not a GGUF file"),
        (broken, "broken.gguf whole"),
    ):
        with pytest.raises(TeacherError, match=message), local_server.serve(LocalServerSettings(gguf=str(path))):
            pass


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(TeacherError, match="pip install xllamacpp"), local_server.serve(LocalServerSettings()):
        pass

"""Greedy generation: a row's answer is the library's own for that row alone, whatever shares its batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.students import library_completion, talkative_student

from raydistill.students import models
from raydistill.students.generate import generate

pytestmark = pytest.mark.usefixtures("one_thread")


PROMPTS = [
    "A coin is heads up.",
    "Anna flips the coin. Ben does not flip the coin. Is the coin still heads up? " * 3,
    "12 + 34 = 46",
    "x",
    'Note that "flip" here means "reverse". Take the last letters.',
    "How many are left? " * 4,
    "yes",
    "Anna Ben",
]


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def student(request: pytest.FixtureRequest, tiny_gpt2: Path, tiny_t5: Path) -> models.Student:
    return talkative_student({"gpt2": tiny_gpt2, "t5": tiny_t5}[request.param])


def test_each_answer_is_the_one_the_library_gives_alone(student: models.Student) -> None:
    expected = [library_completion(student, p, 30) for p in PROMPTS]
    ends = [e[-1] == student.tokenizer.eos_token_id for e in expected]
    assert {True, False} == set(ends), "the model of this test must end some answers and not others"
    assert len({tuple(e) for e in expected}) > 4
    for batch in (1, 3, len(PROMPTS)):
        for order in (PROMPTS, PROMPTS[::-1]):
            out = dict(zip(order, generate(student, order, max_new_tokens=30, batch_size=batch), strict=True))
            for prompt, ids, end in zip(PROMPTS, expected, ends, strict=True):
                assert out[prompt].text == student.tokenizer.decode(ids, skip_special_tokens=True)
                assert (out[prompt].tokens, out[prompt].stopped_at_eos) == (len(ids), end)


def test_confidence_is_the_mean_probability_of_the_tokens_written(student: models.Student) -> None:
    prompt = PROMPTS[1]
    (completion,) = generate(student, [prompt], max_new_tokens=5)
    written = library_completion(student, prompt, 5)
    ids = student.tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        if student.seq2seq:
            logits = student.model(
                input_ids=ids, decoder_input_ids=torch.tensor([[student.start, *written[:-1]]])
            ).logits
        else:
            logits = student.model(torch.cat([ids, torch.tensor([written])], dim=1)).logits[:, ids.shape[1] - 1 : -1]
    chosen = logits[0].softmax(-1)[range(len(written)), written]
    assert completion.confidence == pytest.approx(chosen.mean().item(), rel=1e-4)


def test_an_answer_stops_where_the_model_has_no_more_positions(tiny_gpt2: Path) -> None:
    student = models.open_student(str(tiny_gpt2))
    limit = student.context or 0
    out = generate(student, ["word " * 2000, "a"], max_new_tokens=10_000, max_input_tokens=limit - 7)
    assert (out[0].tokens, out[0].stopped_at_eos) == (7, False)
    assert out[1].tokens <= limit
    (full,) = generate(student, ["word " * 2000], max_new_tokens=5, max_input_tokens=limit)
    assert full == ("", 0, False, 0.0)


def test_nothing_asked_is_nothing_answered(student: models.Student) -> None:
    assert generate(student, [], max_new_tokens=5) == []


def test_samples_depend_on_seed_and_prompt_not_on_what_is_asked_with_it(student: models.Student) -> None:
    def sampled(batch: int, temperature: float = 1.0, seed: int = 0) -> list[str]:
        out = generate(student, PROMPTS, max_new_tokens=12, batch_size=batch, temperature=temperature, seed=seed)
        return [c.text for c in out]

    assert sampled(1) == sampled(3) == sampled(8)
    [alone] = generate(student, PROMPTS[2:3], max_new_tokens=12, temperature=1.0)
    assert alone.text == sampled(8)[2]
    assert sampled(8, seed=1) != sampled(8)
    assert sampled(8, temperature=1e-4) == [c.text for c in generate(student, PROMPTS, max_new_tokens=12)]


def test_samples_follow_the_models_probabilities(student: models.Student) -> None:
    """First tokens of many samples of one prompt, against the softmax."""
    n = 1000
    sampled = [generate(student, [PROMPTS[3]], max_new_tokens=1, temperature=1.5, seed=i)[0] for i in range(n)]
    ids = student.tokenizer(PROMPTS[3], return_tensors="pt").input_ids
    with torch.no_grad():
        start = {"decoder_input_ids": torch.tensor([[student.start]])} if student.seq2seq else {}
        share = (student.model(input_ids=ids, **start).logits[0, -1] / 1.5).softmax(-1)
    likely = share.argmax().item()
    text = student.tokenizer.decode([likely], skip_special_tokens=True)
    same = [i for i in range(len(share)) if student.tokenizer.decode([i], skip_special_tokens=True) == text]
    expected = share[same].sum().item()
    seen = sum(c.text == text for c in sampled) / n
    assert abs(seen - expected) < 5 * (expected * (1 - expected) / n) ** 0.5 + 1e-3

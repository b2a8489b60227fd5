"""What students read and write: exact templates, tokens, padding, and a loss that is the model's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from raydistill.config import StudentSettings
from raydistill.students import batching, models, templates
from raydistill.students.trainer import make_trainer

pytestmark = pytest.mark.usefixtures("one_thread")


QUESTION = "A coin is heads up. Anna flips the coin. Is the coin still heads up?"


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def student(request: pytest.FixtureRequest, tiny_gpt2: Path, tiny_t5: Path) -> models.Student:
    return models.open_student(str({"gpt2": tiny_gpt2, "t5": tiny_t5}[request.param]))


@pytest.mark.parametrize(
    ("seq2seq", "answer_only", "read", "written"),
    [
        (False, False, "Q? ###", " Since x. --> yes"),
        (False, True, "Q? ###", " yes"),
        (True, False, "Q?", "Since x. --> yes"),
        (True, True, "Q?", "yes"),
    ],
)
def test_templates_are_those_of_fine_tune_cot(seq2seq: bool, answer_only: bool, read: str, written: str) -> None:
    assert templates.prompt(" Q?\n", seq2seq=seq2seq) == read
    assert templates.target("  Since x. ", " yes ", seq2seq=seq2seq, answer_only=answer_only) == written


def test_untrained_students_get_the_zero_shot_prompt() -> None:
    assert templates.prompt("Q?", seq2seq=False, trained=False) == "Q: Q?\n\nA:"
    assert templates.prompt("Q?", seq2seq=True, trained=False) == "question: Q?"
    assert [templates.answer_marker(m) for m in ("vanilla", "untrained", "new_fine_tune_cot")] == ["", "", "-->"]


def encoded(
    student: models.Student, pairs: list[tuple[str, str]], max_input: int = 512, max_output: int = 512
) -> list[batching.Sample]:
    return batching.encode(
        [templates.prompt(q, seq2seq=student.seq2seq) for q, _ in pairs],
        [templates.target(r, "no", seq2seq=student.seq2seq, answer_only=False) for _, r in pairs],
        student.tokenizer,
        seq2seq=student.seq2seq,
        max_input=max_input,
        max_output=max_output,
    )


def test_the_mark_survives_and_targets_end(student: models.Student) -> None:
    (sample,) = encoded(student, [(QUESTION, "Anna flips it.")])
    assert sample.target[-1] == student.tokenizer.eos_token_id
    assert student.tokenizer.decode(sample.target, skip_special_tokens=True).strip() == "Anna flips it. --> no"
    assert (sample.prompt[-1] == student.tokenizer.eos_token_id) == student.seq2seq
    assert not sample.truncated


def test_rows_are_cut_at_the_end_and_counted(student: models.Student) -> None:
    samples = encoded(student, [(QUESTION, "Anna flips it. " * 20), ("Q?", "a.")], max_input=12, max_output=20)
    assert [s.truncated for s in samples] == [True, False]
    assert (len(samples[0].prompt), len(samples[0].target)) == (12, 20)
    if student.seq2seq:
        assert samples[0].prompt[-1] == student.tokenizer.eos_token_id


def test_a_decoders_prompt_does_not_end_though_its_tokenizer_closes_every_text(tiny_gpt2: Path) -> None:
    """Else the model would read an end before its answer."""
    student = models.open_student(str(tiny_gpt2))
    tokenizer = student.tokenizer
    end = tokenizer.eos_token
    (plain,) = batching.encode_prompts(["Q? ###"], tokenizer, seq2seq=False, limit=64)
    closing = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = closing
    assert tokenizer("Q? ###")["input_ids"] == [*plain, tokenizer.eos_token_id]
    assert batching.encode_prompts(["Q? ###"], tokenizer, seq2seq=False, limit=64) == [plain]
    assert batching.encode_prompts(["Q? ###"], tokenizer, seq2seq=False, limit=2) == [plain[:2]]


def test_labels_cover_the_target_and_nothing_else(student: models.Student) -> None:
    samples = encoded(student, [(QUESTION, "Anna flips it."), ("Short?", "a b c d e f g h.")])
    batch = batching.collate(samples, pad=student.tokenizer.pad_token_id, seq2seq=student.seq2seq, start=0)
    for row, sample in enumerate(samples):
        labels = batch["labels"][row]
        assert labels[labels != batching.IGNORED].tolist() == sample.target
    width = max(len(s.target) if student.seq2seq else len(s.prompt + s.target) for s in samples)
    assert batch["labels"].shape == (2, width)


def test_loss_and_gradients_are_the_models_own(student: models.Student, tmp_path: Path) -> None:
    """Targets-only logits, no mask and the Trainer's scaling change nothing but the time it takes."""
    samples = encoded(student, [(QUESTION, "Anna flips it."), ("Short?", "b."), (QUESTION * 2, "c d e f.")])
    settings = StudentSettings(per_device_train_batch_size=3, precision="fp32")
    trainer = make_trainer(student, samples, [], settings, str(tmp_path), seed=0)
    student.model.eval()  # no dropout
    batch = trainer.data_collator(samples)
    wanted = sum(len(s.target) for s in samples)
    ours = trainer.compute_loss(student.model, dict(batch), num_items_in_batch=torch.tensor(wanted))
    ours.backward()
    grad = {n: p.grad.clone() for n, p in student.model.named_parameters() if p.grad is not None}
    student.model.zero_grad()

    pad = student.tokenizer.pad_token_id
    losses = []
    for sample in samples:  # one row at a time, the way the library computes it
        if student.seq2seq:
            out = student.model(input_ids=torch.tensor([sample.prompt]), labels=torch.tensor([sample.target]))
        else:
            ids = torch.tensor([sample.prompt + sample.target])
            labels = torch.tensor([[-100] * len(sample.prompt) + sample.target])
            out = student.model(input_ids=ids, labels=labels)
        losses.append(out.loss * len(sample.target))
    reference = sum(losses) / wanted
    reference.backward()
    assert ours.item() == pytest.approx(reference.item(), rel=1e-5)
    for name, parameter in student.model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(grad[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=name)
    student.model.zero_grad()
    assert pad is not None


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "rates"),
    [
        ("constant", 0, [1.0, 1.0, 1.0, 1.0]),
        ("constant", 2, [0.0, 0.5, 1.0, 1.0]),  # a number of steps
        ("constant", 0.5, [0.0, 0.5, 1.0, 1.0]),  # a fraction of all
        ("linear", 0, [1.0, 0.75, 0.5, 0.25]),
    ],
)
def test_the_learning_rate_rises_in_the_warmup_and_then_follows_its_schedule(
    tiny_gpt2: Path, tmp_path: Path, schedule: str, warmup_steps: float, rates: list[float]
) -> None:
    student = models.open_student(str(tiny_gpt2))
    settings = StudentSettings(lr_scheduler_type=schedule, warmup_steps=warmup_steps, learning_rate=0.01, max_steps=4)
    trainer = make_trainer(student, encoded(student, [(QUESTION, "b.")]), [], settings, str(tmp_path), seed=0)
    trainer.create_optimizer_and_scheduler(num_training_steps=4)
    assert trainer.optimizer is not None
    assert trainer.lr_scheduler is not None
    seen = []
    for _ in range(4):
        seen.append(trainer.lr_scheduler.get_last_lr()[0] / 0.01)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert seen == pytest.approx(rates)


@given(st.lists(st.integers(1, 900), max_size=200), st.integers(1, 17), st.integers(0, 3))
def test_buckets_hold_every_row_once_and_are_the_same_everywhere(lengths: list[int], batch: int, epoch: int) -> None:
    sampler = batching.LengthBuckets(lengths, batch, seed=1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths)))
    again = batching.LengthBuckets(lengths, batch, seed=1)
    again.set_epoch(epoch)
    assert list(again) == order  # on every worker, and after a restart


def test_each_epoch_has_batches_of_its_own() -> None:
    lengths = [20 + 7 * i % 301 for i in range(100)]
    sampler = batching.LengthBuckets(lengths, 8, seed=0)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(tuple(sampler))
    assert len(set(orders)) == 3


def test_buckets_waste_little_padding() -> None:
    lengths = [20 + 7 * i % 301 for i in range(1000)]
    order = list(batching.LengthBuckets(lengths, 8, seed=0))
    batches = [[lengths[i] for i in order[at : at + 8]] for at in range(0, 1000, 8)]
    padded = sum(max(b) * len(b) for b in batches)
    assert padded < 1.1 * sum(lengths)
    assert [max(b) for b in batches] != sorted(max(b) for b in batches)  # not from short to long
    assert list(batching.LengthBuckets(lengths, 8, seed=1)) != order


def test_a_tokenizer_without_a_pad_token_is_given_one(tiny_gpt2: Path) -> None:
    assert AutoTokenizer.from_pretrained(tiny_gpt2).pad_token is None
    student = models.open_student(str(tiny_gpt2))
    assert student.tokenizer.pad_token == student.tokenizer.eos_token


def test_a_model_that_does_not_exist_is_named() -> None:
    with pytest.raises(models.StudentError, match="nobody/nothing"):
        models.check("nobody/nothing")


def test_a_tokenizer_whose_texts_never_end_is_named(tiny_gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_gpt2, tmp_path / "endless")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": None}))
    with pytest.raises(models.StudentError, match="no end-of-sequence token"):
        models.check(str(folder))

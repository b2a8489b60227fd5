"""How fast students answer: raydistill's batches beside `generate` loops in file order.

python benchmarks/student_generation.py [--student FOLDER] [--questions 96] [--batch 64] [--max-new-tokens 160]

The student is SmolLM2-135M taught for a minute on three tasks (its answers end by themselves, at different lengths), or
a folder. All contestants answer the same test questions of the three tasks, mixed, greedily, with the same weights in
the same precision: raydistill (sorted by length, finished rows leave the batch), `model.generate` one question at a
time (the first few of them: its rate is plain), and `model.generate` on batches of 32 in file order, left-padded with a
mask. Tokens are those written up to the end token.

The last line is JSON: {"vs_naive", "vs_batched", "tokens_per_s"}.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import torch
from student_data import GENERATED, load
from student_trials import scratch, trial

from raydistill.config import StudentSettings
from raydistill.students import models, templates, train, trainer
from raydistill.students.generate import generate


class Measured(NamedTuple):
    """What a contestant wrote, and how long it took."""

    tokens: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """The contestant's rate."""
        return self.tokens / self.seconds


def main() -> None:
    """Let all contestants answer the same questions in turn."""
    args = _parse_arguments()
    questions, training = load(GENERATED, 48)
    student = open_student(args.student, training)
    tests = questions.filter(pc.field("split") == "test")
    mixed = tests.take(pc.sort_indices(tests, sort_keys=[("source_row", "ascending")])).slice(0, args.questions)
    prompts = [templates.prompt(question, seq2seq=student.seq2seq) for question in mixed["question"].to_pylist()]
    limit = args.max_new_tokens

    def answer_in_batches() -> list[int]:
        completions = generate(student, prompts, max_new_tokens=limit, batch_size=args.batch)
        return [completion.tokens for completion in completions]

    contestants: dict[str, Callable[[], list[int]]] = {
        "raydistill": answer_in_batches,
        "one at a time": partial(loop, student, prompts[: args.alone], limit, 1),
        "batches of 32": partial(loop, student, prompts, limit, 32),
    }
    generate(student, prompts[:2], max_new_tokens=4)  # warm up
    results = {}
    for name, contestant in contestants.items():
        results[name] = measure(contestant)
        tokens, seconds = results[name]
        rate = results[name].tokens_per_s
        print(f"{name:<14}{seconds:8.1f} s {rate:8.0f} tokens/s  ({tokens:,} tokens)", flush=True)
    own_rate = results["raydistill"].tokens_per_s
    summary = {
        "vs_naive": round(own_rate / results["one at a time"].tokens_per_s, 2),
        "vs_batched": round(own_rate / results["batches of 32"].tokens_per_s, 2),
        "tokens_per_s": round(own_rate),
    }
    print(json.dumps(summary))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--student", help="a trained student's folder")
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--alone", type=int, default=16, help="questions of the loop that asks one at a time")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=160)
    return parser.parse_args()


def measure(contestant: Callable[[], list[int]]) -> Measured:
    """Run a contestant once."""
    started = time.perf_counter()
    tokens = sum(contestant())
    return Measured(tokens, time.perf_counter() - started)


def open_student(folder: str | None, training: dict[str, pa.Table]) -> models.Student:
    """Open a trained student, or teach the embedded one; ready to generate in its inference precision."""
    student = models.open_student(folder or models.EMBEDDED)
    if not folder:
        teach(student, training)
    use_bf16 = models.use_bf16("auto", torch.cuda.is_available())
    student.model.to(torch.bfloat16 if use_bf16 else torch.float32)
    student.model.__dict__.pop("forward", None)  # the Trainer's autocast wrapper
    student.model.config.use_cache = True
    return student


def teach(student: models.Student, training: dict[str, pa.Table]) -> None:
    """Train one epoch on a few rows of each task: enough to write the form and to end."""
    settings = StudentSettings(num_train_epochs=1, learning_rate=2e-4)
    samples = []
    for task, rows in training.items():
        empty = rows.slice(0, 0)
        samples += train.encode_rows(rows, student, trial("", task, rows, empty, empty, "benchmark"))
    trainer.make_trainer(student, samples, [], settings, scratch(), seed=0, gpu=torch.cuda.is_available()).train()


@torch.inference_mode()
def loop(student: models.Student, prompts: list[str], limit: int, batch: int) -> list[int]:
    """Run `model.generate` in file order; returns the tokens written by each row."""
    tokenizer = student.tokenizer
    tokenizer.padding_side = "left"
    counts = []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[start : start + batch], return_tensors="pt", padding=True)
        inputs = inputs.to(student.model.device)
        inputs.pop("token_type_ids", None)
        output = student.model.generate(
            **inputs, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        prompt_length = inputs["input_ids"].shape[1]
        for row in output[:, prompt_length:].tolist():
            counts.append(_count_to_end(row, tokenizer.eos_token_id))
    return counts


def _count_to_end(row: list[int], end_token: int) -> int:
    """Count a row's tokens up to the end token, that one included."""
    return row.index(end_token) + 1 if end_token in row else len(row)


if __name__ == "__main__":
    main()

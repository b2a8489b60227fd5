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

import pyarrow.compute as pc
import torch
from student_data import GENERATED, load
from student_training import scratch, trial

from raydistill.config import StudentSettings
from raydistill.students import models, templates, train
from raydistill.students.generate import generate
from raydistill.students.trainer import make_trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--student", help="a trained student's folder")
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--alone", type=int, default=16, help="questions of the loop that asks one at a time")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=160)
    args = parser.parse_args()
    questions, texts = load(GENERATED, 48)
    student = models.open_student(args.student or models.EMBEDDED)
    if not args.student:
        teach(student, texts)
    student.model.to(torch.bfloat16 if models.use_bf16("auto", torch.cuda.is_available()) else torch.float32)
    student.model.__dict__.pop("forward", None)  # the Trainer's autocast wrapper
    student.model.config.use_cache = True
    tests = questions.filter(pc.field("split") == "test")
    mixed = tests.take(pc.sort_indices(tests, sort_keys=[("source_row", "ascending")])).slice(0, args.questions)
    prompts = [templates.prompt(q, seq2seq=student.seq2seq) for q in mixed["question"].to_pylist()]
    limit = args.max_new_tokens
    contestants: dict[str, Callable[[], list[int]]] = {
        "raydistill": lambda: [
            c.tokens for c in generate(student, prompts, max_new_tokens=limit, batch_size=args.batch)
        ],
        "one at a time": lambda: loop(student, prompts[: args.alone], limit, 1),
        "batches of 32": lambda: loop(student, prompts, limit, 32),
    }
    generate(student, prompts[:2], max_new_tokens=4)  # warm up
    seconds = {}
    tokens = {}
    for name, answer in contestants.items():
        started = time.perf_counter()
        tokens[name] = sum(answer())
        seconds[name] = time.perf_counter() - started
        print(
            f"{name:<14}{seconds[name]:8.1f} s {tokens[name] / seconds[name]:8.0f} tokens/s  ({tokens[name]:,} tokens)",
            flush=True,
        )
    rate = {name: tokens[name] / seconds[name] for name in seconds}
    print(
        json.dumps(
            {
                "vs_naive": round(rate["raydistill"] / rate["one at a time"], 2),
                "vs_batched": round(rate["raydistill"] / rate["batches of 32"], 2),
                "tokens_per_s": round(rate["raydistill"]),
            }
        )
    )


def teach(student: models.Student, texts: dict) -> None:
    """One epoch on a few rows of each task: enough to write the form and to end."""
    settings = StudentSettings(num_train_epochs=1, learning_rate=2e-4)
    samples = []
    for task, rows in texts.items():
        empty = rows.slice(0, 0)
        samples += train.encode_rows(rows, student, trial("", task, rows, empty, empty, "benchmark"))
    make_trainer(student, samples, [], settings, scratch(), seed=0, gpu=torch.cuda.is_available()).train()


@torch.inference_mode()
def loop(student: models.Student, prompts: list[str], limit: int, batch: int) -> list[int]:
    """`model.generate` in file order; tokens written by each row."""
    tokenizer, counts = student.tokenizer, []
    tokenizer.padding_side = "left"
    for at in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[at : at + batch], return_tensors="pt", padding=True).to(student.model.device)
        inputs.pop("token_type_ids", None)
        out = student.model.generate(
            **inputs, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        written = out[:, inputs["input_ids"].shape[1] :]
        for row in written.tolist():
            counts.append(row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row))
    return counts


if __name__ == "__main__":
    main()

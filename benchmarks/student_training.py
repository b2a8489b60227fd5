"""How fast a student trains: raydistill beside the stock Trainer, and beside padding to the data set's longest row.

python benchmarks/student_training.py [--student smollm2-135m] [--tasks coin_flip …] [--rows 24] [--rounds 2] [--ray]

Every contestant does one epoch of the same rows of each task, in turn, on the same weights and the same machine, as a
trial does: batch 8, AdamW, loss on the completion; the best of some rounds counts (those that pad to the data set's
longest row are far behind, and have one). Tokens are real ones, padding not counted. "stock" is `transformers.Trainer`
as a user sets it up (random order, padding to the longest in the batch, logits everywhere), in its default float32 and
in bf16; "padded" pads to the longest row of the data set, as the code of Ho et al. 2023. The fraction of the peak is
useful work (6 × parameters × tokens; the output layer counts for target tokens only) against this machine's own matrix
multiplication. `--ray` adds a training of twice the rows of one task as one worker of Ray Train, between two of the
same in processes of their own, and one there with the memory allocator that Ray's worker has; by the training's own
clock, so that no start-up counts.

The last line is JSON: {"vs_trainer", "vs_trainer_bf16", "vs_pad_to_longest", "of_gemm_peak", "ray_overhead",
"ray_overhead_same_allocator"}.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from stock_trainer import stock
from student_data import GENERATED, load
from student_trials import SETTINGS, encode, scratch
from training_overhead import Overhead, measure_overhead
from transformers import Trainer

from raydistill.students import batching, models, trainer

Contestant = Callable[[models.Student, list[batching.Sample]], Trainer]
"""Makes the trainer that learns the samples."""


class Work(NamedTuple):
    """What every contestant does once."""

    rows: int
    tokens: int
    targets: int
    ideal_s: float
    """Seconds at this machine's peak."""


def main() -> None:
    """Let all contestants train in turn."""
    args = _parse_arguments()
    questions, texts = load(args.tasks, args.rows)
    student = models.open_student(models.locate(args.student))
    samples = {task: encode(rows, task, student) for task, rows in texts.items()}
    use_bf16 = models.use_bf16("auto", torch.cuda.is_available())
    peak = gemm_peak(torch.bfloat16 if use_bf16 else torch.float32)
    work = measure_work(samples, student, peak)
    print(f"{work.rows} rows, {work.tokens:,} tokens ({work.targets:,} targets); peak {peak / 1e9:.0f} GFLOP/s")
    contestants: dict[str, Contestant] = {
        "raydistill": ours,
        "stock": partial(stock, bf16=False, longest=False),
        "stock bf16": partial(stock, bf16=True, longest=False),
        "padded": partial(stock, bf16=False, longest=True),
        "padded bf16": partial(stock, bf16=True, longest=True),
    }
    if args.only:
        contestants = {name: contestants[name] for name in contestants if name in args.only}
    seconds = measure(contestants, student, samples, args.rounds)
    print(f"{'':<14}{'seconds':>9}{'tokens/s':>10}{'rows/s':>8}{'of peak':>9}")
    for name in contestants:
        show(name, seconds[name], work)
    overhead = Overhead(None, None)
    if args.ray:
        task = args.tasks[-1]
        _, twice_the_texts = load([task], 2 * args.rows)
        overhead = measure_overhead(args.student, task, twice_the_texts[task], questions)

    def ratio(name: str) -> float | None:
        return round(seconds[name] / seconds["raydistill"], 2) if name in seconds else None

    summary = {
        "vs_trainer": ratio("stock"),
        "vs_trainer_bf16": ratio("stock bf16"),
        "vs_pad_to_longest": ratio("padded"),
        "of_gemm_peak": round(work.ideal_s / seconds["raydistill"], 2),
        "ray_overhead": overhead.total,
        "ray_overhead_same_allocator": overhead.same_allocator,
    }
    print(json.dumps(summary))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--student", default=models.EMBEDDED)
    parser.add_argument("--tasks", nargs="+", default=GENERATED)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="just these contestants, raydistill among them")
    parser.add_argument("--ray", action="store_true", help="also inside Ray Train")
    return parser.parse_args()


def measure_work(samples: dict[str, list[batching.Sample]], student: models.Student, peak: float) -> Work:
    """Count rows and tokens; `peak` is in floating-point operations per second."""
    rows = tokens = targets = 0
    for task_samples in samples.values():
        rows += len(task_samples)
        for sample in task_samples:
            tokens += len(sample.prompt) + len(sample.target)
            targets += len(sample.target)
    body, head = sizes(student)
    operations = 6 * (body * tokens + head * targets)
    return Work(rows, tokens, targets, operations / peak)


def measure(
    contestants: dict[str, Contestant], student: models.Student, samples: dict[str, list[batching.Sample]], rounds: int
) -> dict[str, float]:
    """Return each contestant's seconds over all tasks, best of some rounds for each.

    They train in turn: a shared machine's speed changes by the minute. Those that pad have one round.
    """
    seconds = dict.fromkeys(contestants, 0.0)
    for task_samples in samples.values():
        best = dict.fromkeys(contestants, float("inf"))
        for round_number in range(rounds):
            for name, contestant in contestants.items():
                if round_number > 0 and name.startswith("padded"):
                    continue
                elapsed = timed(contestant, student, task_samples, warm=round_number > 0)
                best[name] = min(best[name], elapsed)
        for name in contestants:
            seconds[name] += best[name]
    return seconds


def show(name: str, seconds: float, work: Work) -> None:
    """Print a contestant's line."""
    print(
        f"{name:<14}{seconds:>9.1f}{work.tokens / seconds:>10.0f}{work.rows / seconds:>8.2f}"
        f"{work.ideal_s / seconds:>9.0%}",
        flush=True,
    )


def timed(contestant: Contestant, student: models.Student, rows: list[batching.Sample], *, warm: bool) -> float:
    """Return the seconds of one epoch from the student's own weights, which stay as they are.

    If the contestant is not `warm`, it takes a step on another copy first.
    """
    if not warm:
        trainer = contestant(copied(student), rows)
        trainer.args.max_steps = 1
        trainer.train()
    trainer = contestant(copied(student), rows)
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started


def copied(student: models.Student) -> models.Student:
    """Return the student with weights of its own."""
    return student._replace(model=copy.deepcopy(student.model))


def ours(student: models.Student, rows: list[batching.Sample]) -> Trainer:
    """Make raydistill's trainer."""
    return trainer.make_trainer(student, rows, [], SETTINGS, scratch(), seed=0, gpu=torch.cuda.is_available())


def gemm_peak(dtype: torch.dtype, n: int = 2048) -> float:
    """Return the floating-point operations per second of the best of some matrix multiplications."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.randn(n, n, device=device, dtype=dtype)
    b = torch.randn(n, n, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        torch.mm(a, b).sum().item()
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


def sizes(student: models.Student) -> tuple[int, int]:
    """Return the number of parameters that work on every token, and that of the output layer."""
    output = student.model.get_output_embeddings().weight
    excluded = {id(output)}
    for module in student.model.modules():
        if isinstance(module, torch.nn.Embedding):
            excluded.add(id(module.weight))
    body = sum(p.numel() for p in student.model.parameters() if id(p) not in excluded)
    return body, output.numel()


if __name__ == "__main__":
    main()

"""How fast a student trains: raydistill beside the stock Trainer, and beside padding to the data set's longest row.

python benchmarks/student_training.py [--student smollm2-135m] [--tasks coin_flip …] [--rows 24] [--rounds 2] [--ray]

Every contestant does one epoch of the same rows of each task, in turn, on the same weights and the same machine, as a
trial does: batch 8, AdamW, loss on the completion; the best of some rounds counts (those that pad to the data set's
longest row are far behind, and have one). Tokens are real ones, padding not counted. "stock" is `transformers.Trainer`
as a user sets it up (random order, padding to the longest in the batch, logits everywhere), in its default float32 and
in bf16; "padded" pads to the longest row of the data set, as the code of Ho et al. 2023. The share of the peak is
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
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from student_data import GENERATED, load
from transformers import PrinterCallback, Trainer, TrainingArguments

from raydistill.config import StudentSettings
from raydistill.runtime import cluster, ray_internals
from raydistill.students import batching, models, train
from raydistill.students.trainer import make_trainer
from raydistill.students.trial import Trial


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--student", default=models.EMBEDDED)
    parser.add_argument("--tasks", nargs="+", default=GENERATED)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="just these contestants")
    parser.add_argument("--ray", action="store_true", help="also inside Ray Train")
    args = parser.parse_args()
    questions, texts = load(args.tasks, args.rows)
    student = models.open_student(models.locate(args.student))
    samples = {task: encode(rows, task, student) for task, rows in texts.items()}
    real = sum(len(s.prompt) + len(s.target) for rows in samples.values() for s in rows)
    targets = sum(len(s.target) for rows in samples.values() for s in rows)
    peak = gemm_peak(torch.bfloat16 if models.use_bf16("auto", torch.cuda.is_available()) else torch.float32)
    body, head = sizes(student)
    work = 6 * (body * real + head * targets)
    print(f"{len(args.tasks) * args.rows} rows, {real:,} tokens ({targets:,} targets); peak {peak / 1e9:.0f} GFLOP/s")
    contestants: dict[str, Callable[[models.Student, list[batching.Sample]], Trainer]] = {
        "raydistill": ours,
        "stock": partial(stock, bf16=False, longest=False),
        "stock bf16": partial(stock, bf16=True, longest=False),
        "padded": partial(stock, bf16=False, longest=True),
        "padded bf16": partial(stock, bf16=True, longest=True),
    }
    rows_all = len(args.tasks) * args.rows
    chosen = [name for name in contestants if not args.only or name in args.only]
    best = {(name, task): float("inf") for name in chosen for task in samples}
    for task, rows in samples.items():
        for turn in range(args.rounds):  # in turn, and the best of each: a shared machine's speed changes by the minute
            for name in chosen:
                if turn == 0 or not name.startswith("padded"):
                    best[name, task] = min(best[name, task], timed(contestants[name], student, rows, warm=turn > 0))
    seconds = {name: sum(best[name, task] for task in samples) for name in chosen}
    print(f"{'':<14}{'seconds':>9}{'tokens/s':>10}{'rows/s':>8}{'of peak':>9}")
    for name in chosen:
        show(name, seconds[name], real, rows_all, work / peak)
    overhead = alike = None
    if args.ray:
        task = args.tasks[-1]
        rows = load([task], 2 * args.rows)[1][task]
        before, worker, kept, after = (
            as_a_trial(args.student, task, rows, questions, where) for where in ("", "ray", "allocator", "")
        )
        overhead, alike = round(2 * worker / (before + after) - 1, 3), round(worker / kept - 1, 3)
        print(
            f"{rows.num_rows} rows of {task}: {before:.1f} s, in Ray Train {worker:.1f} s, "
            f"alone with its allocator {kept:.1f} s, {after:.1f} s"
        )

    def ratio(name: str) -> float | None:
        return round(seconds[name] / seconds["raydistill"], 2) if name in seconds else None

    print(
        json.dumps(
            {
                "vs_trainer": ratio("stock"),
                "vs_trainer_bf16": ratio("stock bf16"),
                "vs_pad_to_longest": ratio("padded"),
                "of_gemm_peak": round(work / peak / seconds["raydistill"], 2),
                "ray_overhead": overhead,
                "ray_overhead_same_allocator": alike,
            }
        )
    )


def show(name: str, seconds: float, tokens: int, rows: int, ideal: float) -> None:
    print(
        f"{name:<14}{seconds:>9.1f}{tokens / seconds:>10.0f}{rows / seconds:>8.2f}{ideal / seconds:>9.0%}", flush=True
    )


def timed(
    make: Callable[[models.Student, list[batching.Sample]], Trainer],
    student: models.Student,
    rows: list[batching.Sample],
    warm: bool = False,
) -> float:
    """Return the seconds of one epoch from the student's own weights; a first step warms up what is not warm."""
    if not warm:
        trainer = make(student._replace(model=copy.deepcopy(student.model)), rows)
        trainer.args.max_steps = 1
        trainer.train()
    fresh = student._replace(model=copy.deepcopy(student.model))
    trainer = make(fresh, rows)
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started


SETTINGS = StudentSettings(num_train_epochs=1, learning_rate=1e-5)


def encode(rows: pa.Table, task: str, student: models.Student) -> list[batching.Sample]:
    empty = rows.slice(0, 0)
    return train.encode_rows(rows, student, trial("", task, rows, empty, empty, "benchmark"))


def trial(student: str, task: str, rows: pa.Table, empty: pa.Table, questions: pa.Table, run: str) -> Trial:
    return Trial(
        trial=f"benchmark-{task}",
        task=task,
        method="fine_tune_cot",
        degree=1,
        student=student,
        location=models.locate(student) if student else "",
        seed=0,
        settings=SETTINGS,
        run=run,
        rows=rows,
        held_out=empty,
        validation=questions,
        test=questions,
    )


def ours(student: models.Student, rows: list[batching.Sample]) -> Trainer:
    return make_trainer(student, rows, [], SETTINGS, scratch(), seed=0, gpu=torch.cuda.is_available())


def stock(student: models.Student, rows: list[batching.Sample], *, bf16: bool, longest: bool) -> Trainer:
    """Return what a user writes: examples with labels, a padding collator, `Trainer`."""
    pad = student.tokenizer.pad_token_id
    examples = [example(s, student.seq2seq) for s in rows]
    width = {key: max(len(e[key]) for e in examples) for key in ("input_ids", "labels")} if longest else None
    arguments = TrainingArguments(
        output_dir=scratch(),
        num_train_epochs=1,
        learning_rate=SETTINGS.learning_rate,
        lr_scheduler_type="constant",
        per_device_train_batch_size=SETTINGS.per_device_train_batch_size,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=student.model,
        args=arguments,
        train_dataset=examples,  # type: ignore[arg-type]
        data_collator=partial(pad_batch, pad=pad, width=width),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def example(sample: batching.Sample, seq2seq: bool) -> dict[str, list[int]]:
    if seq2seq:
        return {"input_ids": sample.prompt, "labels": sample.target}
    return {"input_ids": sample.prompt + sample.target, "labels": [-100] * len(sample.prompt) + sample.target}


def pad_batch(examples: Sequence[dict[str, list[int]]], pad: int, width: dict[str, int] | None) -> dict[str, Any]:
    batch: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    ids = width["input_ids"] if width else max(len(e["input_ids"]) for e in examples)
    labels = width["labels"] if width else max(len(e["labels"]) for e in examples)
    for e in examples:
        spare = ids - len(e["input_ids"])
        batch["input_ids"].append(e["input_ids"] + [pad] * spare)
        batch["attention_mask"].append([1] * len(e["input_ids"]) + [0] * spare)
        batch["labels"].append(e["labels"] + [-100] * (labels - len(e["labels"])))
    return {name: torch.tensor(rows) for name, rows in batch.items()}


def as_a_trial(student: str, task: str, rows: pa.Table, questions: pa.Table, where: str) -> float:
    """Seconds of an epoch as the trial's own clock says, in a fresh process or in a Ray Train worker with all cores."""
    run = scratch()
    work = trial(student, task, rows, rows.slice(0, 0), questions.slice(0, 0), run)
    config = {"trial": work, "gpu": torch.cuda.is_available()}
    if where == "ray":
        in_ray(config, run)
    else:
        kept = ray_internals.allocator() if where == "allocator" else {}
        os.environ.update(kept)
        job = in_a_thread if kept else train.fit
        alone = multiprocessing.get_context("spawn").Process(target=job, args=(config | {"in_process": True},))
        alone.start()
        for name in kept:
            del os.environ[name]
        alone.join()
    return json.loads(Path(run, "students", work.trial, "metrics.json").read_text())["train_seconds"]


def in_a_thread(config: dict[str, Any]) -> None:
    """As Ray Train does."""
    thread = threading.Thread(target=train.fit, args=(config,))
    thread.start()
    thread.join()


def in_ray(config: dict[str, Any], run: str) -> None:
    import ray.train
    from ray.train.torch import TorchTrainer

    cluster.connect()
    has = ray.cluster_resources()
    TorchTrainer(
        train.fit,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(
            num_workers=1, use_gpu=config["gpu"], resources_per_worker={n: has[n] for n in ("CPU", "GPU") if n in has}
        ),
        run_config=ray.train.RunConfig(
            name="benchmark",
            storage_path=run,
            worker_runtime_env={"env_vars": {} if config["gpu"] else ray_internals.allocator()},
        ),
    ).fit()
    ray.shutdown()


def gemm_peak(dtype: torch.dtype, n: int = 2048) -> float:
    """Floating-point operations per second of the best of some matrix multiplications."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        torch.mm(a, b).sum().item()
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


def sizes(student: models.Student) -> tuple[int, int]:
    """Parameters that work on every token, and those of the output layer."""
    head = student.model.get_output_embeddings().weight.numel()
    embeddings = {id(m.weight) for m in student.model.modules() if isinstance(m, torch.nn.Embedding)}
    output = id(student.model.get_output_embeddings().weight)
    body = sum(p.numel() for p in student.model.parameters() if id(p) not in embeddings and id(p) != output)
    return body, head


def scratch() -> str:
    return tempfile.mkdtemp(prefix="raydistill-benchmark-")


if __name__ == "__main__":
    main()

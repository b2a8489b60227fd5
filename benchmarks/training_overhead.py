"""What Ray Train adds to the training of one student."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from student_trials import scratch, trial

from raydistill.runtime import ray_connection
from raydistill.students import train


class Overhead(NamedTuple):
    """What Ray Train adds to a training, as a fraction; None if it was not measured."""

    total: float | None
    same_allocator: float | None


def measure_overhead(student: str, task: str, rows: pa.Table, questions: pa.Table) -> Overhead:
    """Train in Ray Train between two processes without it, and in one with the allocator that Ray's worker has."""
    before = as_a_trial(student, task, rows, questions, "")
    in_worker = as_a_trial(student, task, rows, questions, "ray")
    with_allocator = as_a_trial(student, task, rows, questions, "allocator")
    after = as_a_trial(student, task, rows, questions, "")
    print(
        f"{rows.num_rows} rows of {task}: {before:.1f} s, in Ray Train {in_worker:.1f} s, "
        f"alone with its allocator {with_allocator:.1f} s, {after:.1f} s"
    )
    alone = (before + after) / 2
    return Overhead(round(in_worker / alone - 1, 3), round(in_worker / with_allocator - 1, 3))


def as_a_trial(student: str, task: str, rows: pa.Table, questions: pa.Table, place: str) -> float:
    """Return the seconds of an epoch by the trial's own clock.

    Args:
        student: name of the student.
        task: the rows' task.
        rows: training rows.
        questions: their QUESTIONS.
        place: "ray" (a Ray Train worker with all cores), "allocator" (a fresh process with the worker's memory
            allocator) or "" (a fresh process).
    """
    run = scratch()
    work = trial(student, task, rows, rows.slice(0, 0), questions.slice(0, 0), run)
    config = {"trial": work, "gpu": torch.cuda.is_available()}
    if place == "ray":
        in_ray(config, run)
    else:
        in_a_process(config, with_allocator=place == "allocator")
    metrics = json.loads(Path(run, "students", work.trial, "metrics.json").read_text())
    return metrics["train_seconds"]


def in_a_process(config: dict[str, Any], *, with_allocator: bool) -> None:
    """Train in a fresh process."""
    variables = ray_connection.allocator() if with_allocator else {}
    os.environ.update(variables)
    job = in_a_thread if with_allocator else train.fit
    process = multiprocessing.get_context("spawn").Process(target=job, args=(config | {"in_process": True},))
    process.start()
    for name in variables:
        del os.environ[name]
    process.join()


def in_a_thread(config: dict[str, Any]) -> None:
    """Train in a thread, as Ray Train does."""
    thread = threading.Thread(target=train.fit, args=(config,))
    thread.start()
    thread.join()


def in_ray(config: dict[str, Any], run: str) -> None:
    """Train as the one worker of Ray Train, with all of the machine's cores."""
    import ray.train
    from ray.train.torch import TorchTrainer

    ray_connection.connect()
    resources = ray.cluster_resources()
    worker_resources = {name: resources[name] for name in ("CPU", "GPU") if name in resources}
    variables = {} if config["gpu"] else ray_connection.allocator()
    trainer = TorchTrainer(
        train.fit,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(
            num_workers=1, use_gpu=config["gpu"], resources_per_worker=worker_resources
        ),
        run_config=ray.train.RunConfig(name="benchmark", storage_path=run, worker_runtime_env={"env_vars": variables}),
    )
    trainer.fit()
    ray.shutdown()

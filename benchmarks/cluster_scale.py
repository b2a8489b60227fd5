"""Time and memory of clustering and exemplar choice, from a thousand to a million questions.

    python benchmarks/cluster_scale.py [ROWS ...]

Each size runs as one Ray task in a fresh process, as in the pipeline, on made-up embeddings of the width of MiniLM
(384, unit length, 24 overlapping topics) and a teacher that is right three times out of four. `peak_mb` is the largest
resident size of the task's process above its size before (Linux); the embeddings themselves (1.5 GB at a million) lie
in the object store and come on top. At 10,000 rows the sampled start is compared with exact
k-means. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raydistill.config import ExemplarSettings
from raydistill.exemplars.cluster import cluster
from raydistill.exemplars.select import select
from raydistill.exemplars.vectors import vector_array
from raydistill.runtime import cluster as ray_cluster
from raydistill.tables import EMBEDDINGS, QUESTIONS, SAMPLES

SIZES = [1_000, 10_000, 100_000, 1_000_000]
WIDTH = 384


def vectors(n: int, topics: int = 24, noise: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(topics, WIDTH)).astype(np.float32)
    x = centres[rng.integers(topics, size=n)]
    x += noise * rng.standard_normal((n, WIDTH), np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def tables(n: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    ids = pa.array([f"{i:016x}" for i in range(n)])
    right = np.random.default_rng(1).random(n) < 0.75
    fill: dict[str, Any] = {
        "task": "svamp",
        "split": "train",
        "question_id": ids,
        "question": pa.array([f"Tom has {i} apples and gets two more. How many has he?" for i in range(n)]),
        "answer": "5.0",
        "answer_type": "number",
        "choices": pa.array([[]] * n, pa.list_(pa.string())),
        "source_row": np.arange(n),
        "method": "fine_tune_cot",
        "degree": 1,
        "sample_index": 0,
        "rationale": " Tom has 3 apples. He gets 2 more, so he has 5.",
        "prediction": pa.array(np.where(right, "5", "6")),
        "correct": pa.array(right),
        "error": "",
        "error_kind": "",
    }

    def table(schema: pa.Schema) -> pa.Table:
        columns = []
        for field in schema:
            value = fill.get(field.name)
            plain = isinstance(value, str | int) or value is None
            columns.append(pa.repeat(pa.scalar(value, field.type), n) if plain else pa.array(value, field.type))
        return pa.table(columns, schema)

    embeddings = pa.table([ids, pa.repeat("svamp", n), vector_array(vectors(n))], EMBEDDINGS)
    return table(QUESTIONS), embeddings, table(SAMPLES)


def measured(
    questions: pa.Table, embeddings: pa.Table, zero_shot: pa.Table, settings: ExemplarSettings
) -> dict[str, Any]:
    """Runs inside the task: seconds and peak memory of `select`."""
    import logging
    import threading

    import sklearn.cluster  # noqa: F401  (its import is no part of the work)

    notes: list[str] = []
    keeper = logging.Handler()
    keeper.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("raydistill.exemplars.cluster")
    logger.addHandler(keeper)
    logger.setLevel(logging.INFO)

    done = threading.Event()

    def private() -> int:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
        return (resident - shared) * 4096  # the object store's pages are shared

    before = peak = private()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, private())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    exemplars, clusters = select(
        questions, embeddings, zero_shot, settings, ["few_shot_unfiltered", "new_fine_tune_cot"]
    )
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    assert exemplars.num_rows == 16
    assert clusters.num_rows == questions.num_rows
    return {"seconds": round(seconds, 2), "peak_mb": round((peak - before) / 2**20, 1), "how": notes[0]}


def agreement(x: np.ndarray) -> dict[str, float]:
    """The sampled start against exact k-means, on rows that both can do; k-means itself depends on its seed."""
    from sklearn.metrics import adjusted_rand_score

    exact = cluster(x, 8, seed=192, n_init=10)
    sampled = cluster(x, 8, seed=192, n_init=10, largest_exact=80_000)  # restarts on a sample of 1,000
    other_seed = cluster(x, 8, seed=193, n_init=10)
    return {
        "inertia_ratio": round(sampled.inertia / exact.inertia, 4),
        "adjusted_rand": round(float(adjusted_rand_score(exact.labels, sampled.labels)), 3),
        "adjusted_rand_of_two_exact_seeds": round(float(adjusted_rand_score(exact.labels, other_seed.labels)), 3),
    }


def main(sizes: list[int]) -> None:
    import ray

    ray_cluster.connect()
    task = ray.remote(num_cpus=1, max_calls=1)(measured)  # a fresh process for each size
    found = {n: ray.get(task.remote(*tables(n), ExemplarSettings())) for n in sizes}
    for n, row in found.items():
        print(f"{n:>9,} rows  {row['seconds']:>7.2f} s  {row['peak_mb']:>8.1f} MB  {row['how']}")
    for topics in (8, 24):
        same = agreement(vectors(10_000, topics))
        print(f"sampled start against exact k-means, 10,000 rows of {topics} topics in 8 clusters: {same}")
    print(json.dumps({kind: {str(n): row[kind] for n, row in found.items()} for kind in ("seconds", "peak_mb")}))


if __name__ == "__main__":
    main([int(size.replace(",", "")) for size in sys.argv[1:]] or SIZES)

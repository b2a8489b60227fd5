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
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from raydistill.config import ExemplarSettings
from raydistill.exemplars.kmeans import cluster
from raydistill.exemplars.select import select
from raydistill.exemplars.vectors import vector_array
from raydistill.runtime import ray_connection as ray_cluster
from raydistill.tables import EMBEDDINGS, QUESTIONS, SAMPLES

SIZES = [1_000, 10_000, 100_000, 1_000_000]
WIDTH = 384
METHODS = ["few_shot_unfiltered", "new_fine_tune_cot"]


class Measured(NamedTuple):
    """What one size took."""

    seconds: float
    peak_mb: float
    note: str
    """How the clustering was done, in its own words."""


def main(sizes: list[int]) -> None:
    """Measure all sizes, then compare the sampled start with exact k-means."""
    import ray

    ray_cluster.connect()
    task = ray.remote(num_cpus=1, max_calls=1)(measure)  # a fresh process for each size
    seconds: dict[str, float] = {}
    peak_mb: dict[str, float] = {}
    for n in sizes:
        result = ray.get(task.remote(*tables(n), ExemplarSettings()))
        seconds[str(n)] = result.seconds
        peak_mb[str(n)] = result.peak_mb
        print(f"{n:>9,} rows  {result.seconds:>7.2f} s  {result.peak_mb:>8.1f} MB  {result.note}")
    for topics in (8, 24):
        same = agreement(vectors(10_000, topics))
        print(f"sampled start against exact k-means, 10,000 rows of {topics} topics in 8 clusters: {same}")
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb}))


def vectors(n: int, topics: int = 24, noise: float = 1.5) -> np.ndarray:
    """Make up `n` embeddings of unit length around some topics, shape (n, WIDTH)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(topics, WIDTH)).astype(np.float32)
    x = centres[rng.integers(topics, size=n)]
    x += noise * rng.standard_normal((n, WIDTH), np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def tables(n: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Make up QUESTIONS, EMBEDDINGS and the zero-shot SAMPLES of `n` questions."""
    ids = pa.array([f"{i:016x}" for i in range(n)])
    right = np.random.default_rng(1).random(n) < 0.75
    columns: dict[str, Any] = {
        "question_id": ids,
        "question": [f"Tom has {i} apples and gets two more. How many has he?" for i in range(n)],
        "choices": [[]] * n,
        "source_row": np.arange(n),
        "prediction": np.where(right, "5", "6"),
        "correct": right,
    }
    constants: dict[str, Any] = {
        "task": "svamp",
        "split": "train",
        "answer": "5.0",
        "answer_type": "number",
        "method": "fine_tune_cot",
        "degree": 1,
        "sample_index": 0,
        "rationale": " Tom has 3 apples. He gets 2 more, so he has 5.",
        "error": "",
        "error_kind": "",
    }

    def table(schema: pa.Schema) -> pa.Table:
        arrays = []
        for field in schema:
            if field.name in columns:
                arrays.append(pa.array(columns[field.name], field.type))
            else:
                constant = pa.scalar(constants.get(field.name), field.type)
                arrays.append(pa.repeat(constant, n))
        return pa.table(arrays, schema)

    embeddings = pa.table([ids, pa.repeat("svamp", n), vector_array(vectors(n))], EMBEDDINGS)
    return table(QUESTIONS), embeddings, table(SAMPLES)


def measure(questions: pa.Table, embeddings: pa.Table, zero_shot: pa.Table, settings: ExemplarSettings) -> Measured:
    """Run `select` inside the task; returns its seconds and peak memory."""
    import sklearn.cluster  # noqa: F401  (its import is no part of the work)

    notes = collect_notes("raydistill.exemplars.kmeans")
    done = threading.Event()
    before = private_bytes()
    peaks = [before]
    watcher = threading.Thread(target=watch_memory, args=(peaks, done))
    watcher.start()
    started = time.perf_counter()
    exemplars, clusters = select(questions, embeddings, zero_shot, settings, METHODS)
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    assert exemplars.num_rows == 16
    assert clusters.num_rows == questions.num_rows
    return Measured(round(seconds, 2), round((peaks[0] - before) / 2**20, 1), notes[0])


def collect_notes(logger_name: str) -> list[str]:
    """Return a list that every later message of a logger is appended to."""
    notes: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(record.getMessage())

    logger = logging.getLogger(logger_name)
    logger.addHandler(Collector())
    logger.setLevel(logging.INFO)
    return notes


def private_bytes() -> int:
    """Return the resident bytes of this process without shared pages, which are the object store's (Linux)."""
    pages = Path("/proc/self/statm").read_text().split()
    resident = int(pages[1])
    shared = int(pages[2])
    return (resident - shared) * 4096


def watch_memory(peaks: list[int], done: threading.Event) -> None:
    """Keep the largest size so far in `peaks[0]`."""
    while not done.wait(0.005):
        peaks[0] = max(peaks[0], private_bytes())


def agreement(x: np.ndarray) -> dict[str, float]:
    """Compare the sampled start with exact k-means on rows that both can do; k-means itself depends on its seed."""
    from sklearn.metrics import adjusted_rand_score

    exact = cluster(x, 8, seed=192, n_init=10)
    sampled = cluster(x, 8, seed=192, n_init=10, largest_exact=80_000)  # restarts on a sample of 1,000
    other_seed = cluster(x, 8, seed=193, n_init=10)
    return {
        "inertia_ratio": round(sampled.inertia / exact.inertia, 4),
        "adjusted_rand": round(float(adjusted_rand_score(exact.labels, sampled.labels)), 3),
        "adjusted_rand_of_two_exact_seeds": round(float(adjusted_rand_score(exact.labels, other_seed.labels)), 3),
    }


if __name__ == "__main__":
    main([int(size.replace(",", "")) for size in sys.argv[1:]] or SIZES)

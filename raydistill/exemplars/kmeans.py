"""k-means over the questions' embeddings (Algorithm 1, line 2): exact if that is cheap, near-exact at any size."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from raydistill.exemplars.vectors import Matrix

Labels = npt.NDArray[np.int32]

LARGEST_EXACT = 10_000_000
"""rows × k × restarts up to which every restart sees all rows (about 10 s); above, restarts see a sample."""
LEAST_ROWS_PER_CLUSTER = 20
"""Rows of that sample per cluster, at least."""
MOST_ITERATIONS = 300
TOLERANCE = 1e-4
"""Lloyd's iterations end as KMeans does: at this share of the rows' mean variance."""
LARGEST_CHOICE = 20_000
"""Rows that k is chosen on, at most."""
LARGEST_SILHOUETTE = 5_000
"""Rows that a silhouette is taken over, at most (it is quadratic)."""
ROWS_PER_PART = 65_536

log = logging.getLogger(__name__)


class Assignment(NamedTuple):
    """The nearest centre of each row."""

    labels: Labels
    """(n,) cluster of each row, 0 … k-1."""
    distances: Matrix
    """(n,) Euclidean distance to the own centre."""


class Clusters(NamedTuple):
    """Clustered rows."""

    labels: Labels
    """(n,) cluster of each row, 0 … k-1."""
    distances: Matrix
    """(n,) Euclidean distance to the own centre."""
    centres: Matrix
    """(k, d)"""
    inertia: float
    """Sum of squared distances."""
    start: str
    """exact, or how many rows the restarts saw."""


def cluster(x: Matrix, k: int, *, seed: int, n_init: int, largest_exact: int = LARGEST_EXACT) -> Clusters:
    """Cluster the n×d rows of `x` into `k`; the same rows in the same order give the same clusters on any cores.

    scikit-learn's KMeans (k-means++, Lloyd). If n × k × n_init is above `largest_exact`, the restarts run on a seeded
    sample of the rows, and Lloyd's iterations then go on over all rows from the best centres: linear in n, with no copy
    of `x`. benchmarks/cluster_scale.py measures time, memory and agreement with exact k-means.

    Args:
        x: n×d.
        k: number of clusters.
        seed: random_state of k-means.
        n_init: restarts.
        largest_exact: rows × k × restarts up to which every restart sees all rows.
    """
    from sklearn.cluster import KMeans

    n = len(x)
    sample_size = max(largest_exact // (k * n_init), LEAST_ROWS_PER_CLUSTER * k)
    # One thread: sums that several threads share depend on their number in the last bits.
    with threadpool_limits(1):
        if n_init == 1 or n <= sample_size:
            start = "exact"
            fitted = KMeans(k, n_init=n_init, random_state=seed).fit(x)
            centres = fitted.cluster_centers_
            iterations = fitted.n_iter_
        else:
            start = f"started on {sample_size} rows"
            sample = _sample(x, sample_size, seed)
            first_centres = KMeans(k, n_init=n_init, random_state=seed).fit(sample).cluster_centers_
            centres, iterations = _lloyd(x, first_centres)
        assignment = _assign(x, centres)
    inertia = float(np.square(assignment.distances, dtype=np.float64).sum())
    log.info("%s rows in %s clusters: k-means, %s (n_init %s), %s iterations", n, k, start, n_init, iterations)
    return Clusters(assignment.labels, assignment.distances, centres, inertia, start)


def choose_k(x: Matrix, largest: int, measure: Literal["silhouette", "inertia"], *, seed: int, n_init: int) -> int:
    """Return the best number of clusters from 2 to `largest`, judged on at most LARGEST_CHOICE (seeded) rows.

    Args:
        x: n×d.
        largest: the most clusters that are tried.
        measure: silhouette, the highest mean silhouette (Rousseeuw 1987); or inertia, the elbow: the k whose inertia
            lies farthest below the line from the first to the last.
        seed: random_state of k-means and of samples.
        n_init: restarts.
    """
    if len(x) > LARGEST_CHOICE:
        x = _sample(x, LARGEST_CHOICE, seed)
    largest = min(largest, len(x) - 1)
    if largest <= 2:
        return max(largest, 1)
    candidates = range(2, largest + 1)
    clusterings = [cluster(x, k, seed=seed, n_init=n_init) for k in candidates]
    if measure == "silhouette":
        scores = [_silhouette(x, clusters.labels, seed) for clusters in clusterings]
    else:
        inertias = np.array([clusters.inertia for clusters in clusterings])
        line = np.linspace(inertias[0], inertias[-1], len(inertias))
        scores = (line - inertias).tolist()
    rounded = np.round(scores, 4).tolist()
    log.info("k by %s: %s", measure, dict(zip(candidates, rounded, strict=True)))
    return candidates[int(np.argmax(scores))]


def plane(x: Matrix) -> Matrix:
    """Return the first two principal components of the rows (n, 2), for a map; zeros if there are fewer."""
    from sklearn.decomposition import PCA

    flat = np.zeros((len(x), 2), np.float32)
    components = min(2, len(x) - 1, x.shape[1])
    if components > 0:
        with threadpool_limits(1):
            # Through the d×d covariance: no second copy of x, and no random start.
            pca = PCA(components, svd_solver="covariance_eigh", copy=False)
            flat[:, :components] = pca.fit_transform(x)
    return flat


def _lloyd(x: Matrix, centres: Matrix) -> tuple[Matrix, int]:
    """Run Lloyd's iterations from `centres`, part by part; return the centres and how many iterations it took.

    (KMeans.fit would hold two more copies of `x` in memory.)
    """
    k, width = centres.shape
    variances = [x[:, i].var(dtype=np.float64) for i in range(width)]
    least_shift = TOLERANCE * float(np.mean(variances))
    iteration = 0
    shift = np.inf
    while shift > least_shift and iteration < MOST_ITERATIONS:
        iteration += 1
        labels = _assign(x, centres).labels
        sums = np.zeros((k, width))
        for part in _parts(len(x)):
            membership = np.eye(k, dtype=np.float32)[labels[part]]
            sums += membership.T @ x[part]
        counts = np.bincount(labels, minlength=k)[:, None]
        # An empty cluster keeps its centre.
        moved = np.where(counts, sums / np.maximum(counts, 1), centres).astype(np.float32)
        shift = float(np.square(moved - centres).sum())
        centres = moved
    return centres, iteration


def _assign(x: Matrix, centres: Matrix) -> Assignment:
    from sklearn.metrics import pairwise_distances_argmin

    labels = np.empty(len(x), np.int32)
    distances = np.empty(len(x), np.float32)
    for part in _parts(len(x)):
        labels[part] = pairwise_distances_argmin(x[part], centres)
        distances[part] = np.linalg.norm(x[part] - centres[labels[part]], axis=1)
    return Assignment(labels, distances)


def _silhouette(x: Matrix, labels: Labels, seed: int) -> float:
    from sklearn.metrics import silhouette_score

    size = min(len(x), LARGEST_SILHOUETTE)
    return float(silhouette_score(x, labels, sample_size=size, random_state=seed))


def _sample(x: Matrix, size: int, seed: int) -> Matrix:
    """Return a seeded sample of the rows, in their order."""
    rows = np.random.default_rng(seed).choice(len(x), size, replace=False)
    return x[np.sort(rows)]


def _parts(n: int) -> Iterator[slice]:
    for start in range(0, n, ROWS_PER_PART):
        yield slice(start, start + ROWS_PER_PART)

"""k-means over the questions' embeddings (Algorithm 1, line 2): exact where that is cheap, near-exact at any size."""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

LARGEST_EXACT = 10_000_000
"""rows × k × restarts up to which every restart sees all rows (about 10 s); above, restarts see a sample."""
LARGEST_CHOICE = 20_000
"""Rows that k is chosen on, at most."""
LARGEST_SILHOUETTE = 5_000
"""Rows that a silhouette is taken over, at most (it is quadratic)."""

log = logging.getLogger(__name__)


class Clusters(NamedTuple):
    labels: Labels
    """(n,) cluster of each row, 0 … k-1."""
    distances: Matrix
    """(n,) Euclidean distance to the own centre."""
    centres: Matrix
    """(k, d)"""
    inertia: float
    """Sum of squared distances."""
    how: str
    """exact, or how many rows the restarts saw"""


def cluster(x: Matrix, k: int, *, seed: int, n_init: int, largest_exact: int = LARGEST_EXACT) -> Clusters:
    """Cluster the n×d rows of `x` into `k`; the same rows in the same order give the same clusters on any cores.

    scikit-learn's KMeans (k-means++, Lloyd). Where n × k × n_init is above `largest_exact`, the restarts run on a
    seeded sample of the rows, and Lloyd's iterations then go on over all rows from the best centres found: linear in n,
    with no copy of `x`. benchmarks/cluster_scale.py measures time, memory and agreement with exact k-means.
    """
    from sklearn.cluster import KMeans

    n = len(x)
    sample = max(largest_exact // (k * n_init), 20 * k)
    # One thread: sums that several threads share depend on their number in the last bits.
    with threadpool_limits(1):
        if n_init == 1 or n <= sample:
            fitted = KMeans(k, n_init=n_init, random_state=seed).fit(x)
            how, centres, iterations = "exact", fitted.cluster_centers_, fitted.n_iter_
            labels, distances = _nearest(x, centres)
        else:
            rows = np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
            start = KMeans(k, n_init=n_init, random_state=seed).fit(x[rows]).cluster_centers_
            how, (centres, labels, distances, iterations) = f"started on {sample} rows", _lloyd(x, start)
    inertia = float(np.square(distances, dtype=np.float64).sum())
    log.info("%s rows in %s clusters: k-means, %s (n_init %s), %s iterations", n, k, how, n_init, iterations)
    return Clusters(labels, distances, centres, inertia, how)


def _lloyd(x: Matrix, centres: Matrix, tolerance: float = 1e-4, most: int = 300) -> tuple[Matrix, Labels, Matrix, int]:
    """Lloyd's iterations from `centres`, chunk by chunk: KMeans.fit would hold two more copies of `x` in memory.

    Ends as KMeans does, when the centres move by less than `tolerance` of the rows' mean variance.
    """
    k, width = centres.shape
    variance = float(np.mean([x[:, i].var(dtype=np.float64) for i in range(width)]))
    iteration, shift = 0, np.inf
    while shift > tolerance * variance and iteration < most:
        iteration += 1
        labels, _ = _nearest(x, centres)
        sums = np.zeros((k, width))
        for part in _parts(len(x)):
            sums += np.eye(k, dtype=np.float32)[labels[part]].T @ x[part]
        counts = np.bincount(labels, minlength=k)[:, None]
        moved = np.where(counts, sums / np.maximum(counts, 1), centres).astype(np.float32)
        shift, centres = float(np.square(moved - centres).sum()), moved
    labels, distances = _nearest(x, centres)
    return centres, labels, distances, iteration


def _nearest(x: Matrix, centres: Matrix) -> tuple[Labels, Matrix]:
    """The nearest centre of each row, and the distance to it."""
    from sklearn.metrics import pairwise_distances_argmin

    labels, distances = np.empty(len(x), np.int32), np.empty(len(x), np.float32)
    for part in _parts(len(x)):
        labels[part] = pairwise_distances_argmin(x[part], centres)
        distances[part] = np.linalg.norm(x[part] - centres[labels[part]], axis=1)
    return labels, distances


def _parts(n: int, rows: int = 65_536) -> list[slice]:
    return [slice(i, i + rows) for i in range(0, n, rows)]


def choose_k(x: Matrix, largest: int, how: Literal["silhouette", "inertia"], *, seed: int, n_init: int) -> int:
    """The best number of clusters from 2 to `largest`, at most LARGEST_CHOICE (seeded) rows being asked.

    silhouette: the highest mean silhouette (Rousseeuw 1987). inertia: the elbow, the k whose inertia lies farthest
    below the line from the first to the last.
    """
    from sklearn.metrics import silhouette_score

    if len(x) > LARGEST_CHOICE:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), LARGEST_CHOICE, replace=False))]
    largest = min(largest, len(x) - 1)
    if largest <= 2:
        return max(largest, 1)
    tried = range(2, largest + 1)
    found = [cluster(x, k, seed=seed, n_init=n_init) for k in tried]
    if how == "silhouette":
        size = min(len(x), LARGEST_SILHOUETTE)
        scores = [float(silhouette_score(x, f.labels, sample_size=size, random_state=seed)) for f in found]
    else:
        line = np.linspace(found[0].inertia, found[-1].inertia, len(found))
        scores = [float(on_line - f.inertia) for on_line, f in zip(line, found, strict=True)]
    log.info("k by %s: %s", how, dict(zip(tried, np.round(scores, 4).tolist(), strict=True)))
    return tried[int(np.argmax(scores))]


def plane(x: Matrix) -> Matrix:
    """(n, 2): the first two principal components of the rows, for a map; zeros where there are fewer."""
    from sklearn.decomposition import PCA

    flat = np.zeros((len(x), 2), np.float32)
    components = min(2, len(x) - 1, x.shape[1])
    if components > 0:
        with threadpool_limits(1):
            # Through the d×d covariance: no second copy of x, and no random start.
            flat[:, :components] = PCA(components, svd_solver="covariance_eigh", copy=False).fit_transform(x)
    return flat

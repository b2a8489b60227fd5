"""Choose the exemplars of all tasks (Algorithm 1 of Li et al. 2024), here or in a Ray task."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import ExemplarSettings
from raydistill.exemplars import exemplar_file
from raydistill.exemplars.choice import choose
from raydistill.exemplars.conditions import normalised
from raydistill.exemplars.kmeans import Clusters, choose_k, cluster, plane
from raydistill.exemplars.pool import Pool, make_pool
from raydistill.exemplars.rows import ExemplarRow, exemplar_table
from raydistill.method.benchmarks import exemplar_limits
from raydistill.method.methods import few_shot
from raydistill.runtime.errors import UserError
from raydistill.tables import CLUSTERS, Row


def select(
    questions: pa.Table,
    embeddings: pa.Table,
    zero_shot: pa.Table,
    settings: ExemplarSettings,
    methods: Sequence[str],
) -> tuple[pa.Table, pa.Table]:
    """Cluster each task's pool and choose its exemplars; plain Python and scikit-learn, no Ray.

    The row order of the tables does not matter: a task's pool is put in the order of its source first.

    Args:
        questions: QUESTIONS, n rows.
        embeddings: EMBEDDINGS of the pool's questions at least (see `embed`); not read with `settings.file`.
        zero_shot: SAMPLES; the greedy zero-shot samples count.
        settings: how many exemplars, and what they must be.
        methods: of these, the few-shot methods choose exemplars.

    Returns:
        EXEMPLARS, k × per_cluster rows per task and method if so many are eligible, sorted by
        (task, method, cluster, rank); CLUSTERS, a row for each question of the pools, by (task, source row), and
        empty with `settings.file`.

    Raises:
        UserError: a task has no eligible question at all, or `settings.file` cannot be used.
    """
    names = [method.name for method in few_shot(list(methods))]
    if settings.file:
        return exemplar_file.read(settings.file, questions, names), CLUSTERS.empty_table()
    rows: list[ExemplarRow] = []
    places = [CLUSTERS.empty_table()]
    for task in sorted(pc.unique(questions["task"]).to_pylist()):
        pool = make_pool(task, questions, embeddings, zero_shot, settings)
        clusters = _clusters(pool, settings)
        places.append(_places(pool, clusters))
        for name in names:
            rows += choose(pool, clusters, name)
    return exemplar_table(rows), pa.concat_tables(places)


def select_remote(
    questions: pa.Table,
    embeddings: pa.Table,
    zero_shot: pa.Table,
    settings: ExemplarSettings,
    methods: Sequence[str],
) -> tuple[pa.Table, pa.Table]:
    """Run `select` as one Ray task, on any node with a free CPU; the tables travel through the object store.

    Args and results are those of `select`.
    """
    import ray
    from ray.exceptions import RayTaskError

    if settings.file:  # a path of this machine
        return select(questions, embeddings, zero_shot, settings, methods)
    task = ray.remote(num_cpus=1)(select)
    try:
        return ray.get(task.remote(questions, embeddings, zero_shot, settings, methods))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, UserError) else error) from None


def leave_one_out(exemplars: Sequence[Row], question_id: str, question: str) -> list[Row]:
    """Return the exemplars to prompt `question` with: those that are not this question, by id or by text."""
    own_text = normalised(question)
    others = []
    for exemplar in exemplars:
        is_own = exemplar["question_id"] == question_id or normalised(exemplar["question"]) == own_text
        if not is_own:
            others.append(exemplar)
    return others


def _clusters(pool: Pool, settings: ExemplarSettings) -> Clusters:
    """Cluster a pool; there are no more clusters than different questions."""
    most = settings.n_clusters or exemplar_limits(pool.task).clusters
    k = pool.count_different(most)
    if settings.n_clusters_by != "fixed":
        k = choose_k(pool.x, k, settings.n_clusters_by, seed=settings.random_state, n_init=settings.n_init)
    return cluster(pool.x, k, seed=settings.random_state, n_init=settings.n_init)


def _places(pool: Pool, clusters: Clusters) -> pa.Table:
    """Return the pool as rows of CLUSTERS."""
    xy = plane(pool.x)
    ids = pool.questions["question_id"]
    tasks = pa.repeat(pool.task, len(ids))
    return pa.table([tasks, ids, clusters.labels, clusters.distances, xy[:, 0], xy[:, 1]], CLUSTERS)

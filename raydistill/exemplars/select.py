"""Choose the exemplars (Algorithm 1 of Li et al. 2024): of each cluster the eligible question nearest the centre."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import ExemplarSettings
from raydistill.exemplars import fixed
from raydistill.exemplars.cluster import Clusters, Matrix, choose_k, cluster, plane
from raydistill.exemplars.conditions import WAIVED, exemplar_rationale, failures, normalised
from raydistill.exemplars.embed import matrix
from raydistill.method import answers
from raydistill.runtime.errors import UserError
from raydistill.tables import CLUSTERS, EXEMPLARS

TOP_UP = len(WAIVED) + 1
"""The relaxation_level of exemplars that fill up for clusters that had none."""
LETTERS_K, OTHER_K = 4, 8
"""Auto-CoT's number of exemplars for last letters, and elsewhere."""

log = logging.getLogger(__name__)


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
        methods: of these, `few_shot_unfiltered` (any answer) and `new_fine_tune_cot` (right answers only) choose exemplars.

    Returns:
        EXEMPLARS, k × per_cluster rows per task and method where so many are eligible, sorted by
        (task, method, cluster, rank); CLUSTERS, a row for each question of the pools, by (task, source row), and
        empty with `settings.file`.

    Raises:
        UserError: a task has no eligible question at all, or `settings.file` cannot be used.
    """
    methods = [m for m in ("few_shot_unfiltered", "new_fine_tune_cot") if m in methods]
    if settings.file:
        return fixed.read(settings.file, questions, methods), CLUSTERS.empty_table()
    chosen, places = [], []
    for task in sorted(pc.unique(questions["task"]).to_pylist()):
        pool = _Pool.of(task, questions, embeddings, zero_shot, settings)
        found = _clusters(pool, settings)
        xy = plane(pool.x)
        ids = pool.questions["question_id"]
        columns = [pa.repeat(task, len(ids)), ids, found.labels, found.distances, xy[:, 0], xy[:, 1]]
        places.append(pa.table(columns, CLUSTERS))
        for method in methods:
            chosen += _choose(pool, found, settings, method)
    return pa.Table.from_pylist(chosen, EXEMPLARS), pa.concat_tables([CLUSTERS.empty_table(), *places])


def select_remote(
    questions: pa.Table,
    embeddings: pa.Table,
    zero_shot: pa.Table,
    settings: ExemplarSettings,
    methods: Sequence[str],
) -> tuple[pa.Table, pa.Table]:
    """`select` as one Ray task, on any node with a free CPU; the tables travel through the object store."""
    import ray
    from ray.exceptions import RayTaskError

    if settings.file:  # a path of this machine
        return select(questions, embeddings, zero_shot, settings, methods)
    try:
        return ray.get(ray.remote(num_cpus=1)(select).remote(questions, embeddings, zero_shot, settings, methods))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, UserError) else error) from None


def leave_one_out(exemplars: Sequence[Mapping[str, Any]], question_id: str, question: str) -> list[Mapping[str, Any]]:
    """The exemplars to ask `question` with: those that are not this question, by id or by text."""
    own = normalised(question)
    return [e for e in exemplars if e["question_id"] != question_id and normalised(e["question"]) != own]


@dataclass
class _Pool:
    """The questions of one task that may become exemplars, in source order, with what select needs of each."""

    task: str
    questions: pa.Table
    x: Matrix
    zero_shot: pa.Table
    sample_row: dict[str, int]
    settings: ExemplarSettings
    checked: dict[tuple[int, bool], dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, task: str, questions: pa.Table, embeddings: pa.Table, zero_shot: pa.Table, settings: ExemplarSettings
    ) -> _Pool:
        mine = questions.filter(pc.equal(questions["task"], task))
        if settings.pool == "train":
            mine = mine.filter(pc.equal(mine["split"], "train"))
        if not mine.num_rows:
            raise UserError(
                f"Task {task} has no train question to choose exemplars from.", "Set exemplars.pool to all."
            )
        mine = mine.sort_by([("source_row", "ascending"), ("question_id", "ascending")])
        rows = pc.index_in(mine["question_id"], value_set=embeddings["question_id"])
        if rows.null_count:
            raise ValueError(f"{rows.null_count} questions of task {task} are not embedded")
        greedy = pc.and_(pc.equal(zero_shot["degree"], 1), pc.equal(zero_shot["method"], "fine_tune_cot"))
        samples = zero_shot.filter(pc.and_(pc.equal(zero_shot["task"], task), greedy))
        sample_row = {id_: row for row, id_ in enumerate(samples["question_id"].to_pylist())}
        return cls(task, mine, matrix(embeddings)[rows.to_numpy()], samples, sample_row, settings)

    def failures(self, row: int, must_be_right: bool) -> dict[str, str]:
        """Why question `row` is no exemplar; looked up once, since most questions are never looked at."""
        if (row, must_be_right) not in self.checked:
            question = self.questions.slice(row, 1).to_pylist()[0]
            self.checked[row, must_be_right] = failures(
                question, self.sample(question["question_id"]), self.settings, must_be_right=must_be_right
            )
        return self.checked[row, must_be_right]

    def sample(self, question_id: str) -> dict[str, Any] | None:
        row = self.sample_row.get(question_id)
        return None if row is None else self.zero_shot.slice(row, 1).to_pylist()[0]


@dataclass(frozen=True)
class _Pick:
    """A chosen question: its row in the pool, its place in its cluster, and the relaxation_level it was accepted on."""

    row: int
    cluster: int
    rank: int
    relaxation_level: int


def _clusters(pool: _Pool, settings: ExemplarSettings) -> Clusters:
    largest = settings.n_clusters or (LETTERS_K if pool.task == "last_letter_concatenation" else OTHER_K)
    distinct: set[str] = set()  # there are no more clusters than different questions
    for question in pool.questions["question"]:
        distinct.add(normalised(question.as_py()))
        if len(distinct) == largest:
            break
    k = len(distinct)
    if settings.n_clusters_by != "fixed":
        k = choose_k(pool.x, k, settings.n_clusters_by, seed=settings.random_state, n_init=settings.n_init)
    return cluster(pool.x, k, seed=settings.random_state, n_init=settings.n_init)


def _choose(pool: _Pool, found: Clusters, settings: ExemplarSettings, method: str) -> list[dict[str, Any]]:
    """Rows of EXEMPLARS for one task and method."""
    must_be_right = method == "new_fine_tune_cot"
    k = len(found.centres)
    # Distances that differ by rounding alone are equal; the question that comes first in the source goes first.
    near = np.lexsort((np.arange(len(found.labels)), np.round(found.distances, 5)))
    members = [near[found.labels[near] == c] for c in range(k)]
    rank = np.empty(len(near), np.int64)
    for rows in members:
        rank[rows] = np.arange(len(rows))
    texts = pool.questions["question"]
    taken: dict[str, int] = {}  # normalised question -> row

    def picks(rows: npt.NDArray[np.int64], want: int) -> Iterator[_Pick]:
        for relaxation_level, waived in enumerate(WAIVED, 1):
            for row in rows.tolist():
                if want <= 0:
                    return
                text = normalised(texts[row].as_py())
                if text not in taken and pool.failures(row, must_be_right).keys() <= waived:
                    taken[text], want = row, want - 1
                    yield _Pick(row, int(found.labels[row]), int(rank[row]), relaxation_level)

    chosen = [pick for rows in members for pick in picks(rows, settings.per_cluster)]
    if missing := k * settings.per_cluster - len(chosen):
        chosen += [replace(pick, relaxation_level=TOP_UP) for pick in picks(near, missing)]
    if not chosen:
        raise _nothing(pool, must_be_right)
    chosen.sort(key=lambda pick: (pick.cluster, pick.rank))
    rows = []
    for pick in chosen:
        log.info(
            "%s %s cluster %s: rank %s, relaxation_level %s",
            pool.task,
            method,
            pick.cluster,
            pick.rank,
            pick.relaxation_level,
        )
        waived = WAIVED[min(pick.relaxation_level, len(WAIVED)) - 1]
        question = pool.questions.slice(pick.row, 1).to_pylist()[0]
        sample = pool.sample(question["question_id"])
        assert sample is not None
        nearer = members[pick.cluster][: pick.rank].tolist()
        rows.append(
            {
                "task": pool.task,
                "method": method,
                "cluster": pick.cluster,
                "cluster_size": len(members[pick.cluster]),
                "rank": pick.rank,
                "relaxation_level": pick.relaxation_level,
                "distance": float(found.distances[pick.row]),
                "question_id": question["question_id"],
                "question": question["question"],
                "rationale": exemplar_rationale(sample["rationale"]),
                "answer": answers.canonical(sample["prediction"], question["answer_type"]),
                "passed_over": [
                    {
                        "question_id": pool.questions["question_id"][row].as_py(),
                        "rank": nearer_rank,
                        "distance": float(found.distances[row]),
                        "reason": _reason(pool.failures(row, must_be_right), waived),
                    }
                    for nearer_rank, row in enumerate(nearer)
                    if taken.get(normalised(texts[row].as_py())) != row
                ],
            }
        )
    return rows


def _reason(failed: dict[str, str], waived: frozenset[str]) -> str:
    return "; ".join(r for name, r in failed.items() if name not in waived) or "repeats the question of an exemplar"


def _nothing(pool: _Pool, must_be_right: bool) -> UserError:
    counts: dict[str, int] = {}
    for row in range(pool.questions.num_rows):
        for name in pool.failures(row, must_be_right):
            counts[name] = counts.get(name, 0) + 1
    told = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
    right = " right" if must_be_right else ""
    return UserError(
        f"Task {pool.task}: none of the teacher's {pool.questions.num_rows} zero-shot answers can be an exemplar with a"
        f"{right} answer (failed conditions: {told}).",
        "See the table zero_shot: a teacher that answers nothing right cannot be distilled. Your own exemplars can be "
        "given with exemplars.file.",
    )

"""Algorithm 1 of Li et al. 2024 for one task: of each cluster, the eligible question nearest the centre."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raydistill.exemplars.conditions import RELAXATION_LEVELS, exemplar_rationale
from raydistill.exemplars.kmeans import Clusters
from raydistill.exemplars.pool import Pool
from raydistill.exemplars.rows import ExemplarRow, PassedOver
from raydistill.method import answers
from raydistill.method.methods import METHODS
from raydistill.runtime.errors import UserError

TOP_UP_LEVEL = len(RELAXATION_LEVELS) + 1
"""The relaxation level of exemplars that fill up for clusters that had none."""

DISTANCE_DECIMALS = 5
"""Distances that differ by rounding alone are equal."""

log = logging.getLogger(__name__)


class Choice(NamedTuple):
    """A chosen question."""

    row: int
    """In the pool."""
    cluster: int
    rank: int
    """Its place in its cluster; 0 is nearest to the centre."""
    relaxation_level: int
    """The level that it was accepted on."""


def choose(pool: Pool, clusters: Clusters, method: str) -> list[ExemplarRow]:
    """Return rows of EXEMPLARS for one task and method, by cluster and rank.

    Raises:
        UserError: no question of the pool is eligible.
    """
    chooser = _Chooser(pool, clusters, must_be_right=METHODS[method].exemplars == "correct_answer")
    choices = chooser.choose(pool.settings.per_cluster)
    for choice in choices:
        log.info(
            "%s %s cluster %s: rank %s, relaxation level %s",
            pool.task,
            method,
            choice.cluster,
            choice.rank,
            choice.relaxation_level,
        )
    return [chooser.table_row(choice, method) for choice in choices]


class _Chooser:
    """The state of a choice: which questions are taken."""

    def __init__(self, pool: Pool, clusters: Clusters, *, must_be_right: bool) -> None:
        self.pool = pool
        self.clusters = clusters
        self.must_be_right = must_be_right
        self.row_taken: dict[str, int] = {}
        """By normalised question."""
        # The question that comes first in the source goes first among those at the same distance.
        n = len(clusters.labels)
        distances = np.round(clusters.distances, DISTANCE_DECIMALS)
        self.nearest_first = np.lexsort((np.arange(n), distances))
        labels = clusters.labels[self.nearest_first]
        self.members = [self.nearest_first[labels == cluster] for cluster in range(len(clusters.centres))]
        self.ranks = np.empty(n, np.int64)
        for rows in self.members:
            self.ranks[rows] = np.arange(len(rows))

    def choose(self, per_cluster: int) -> list[Choice]:
        """Choose `per_cluster` questions of each cluster; what is missing is topped up from the nearest elsewhere."""
        choices: list[Choice] = []
        for rows in self.members:
            choices += self._eligible(rows, per_cluster)
        missing = len(self.members) * per_cluster - len(choices)
        for choice in self._eligible(self.nearest_first, missing):
            choices.append(choice._replace(relaxation_level=TOP_UP_LEVEL))
        if not choices:
            raise _nothing_eligible(self.pool, self.must_be_right)
        choices.sort(key=lambda choice: (choice.cluster, choice.rank))
        return choices

    def _eligible(self, rows: npt.NDArray[np.int64], most: int) -> Iterator[Choice]:
        """Take up to `most` of `rows` (nearest first), on the strictest relaxation level that has some left."""
        for level, relaxed in enumerate(RELAXATION_LEVELS, 1):
            for row in rows.tolist():
                if most <= 0:
                    return
                text = self.pool.normalised(row)
                if text in self.row_taken:
                    continue
                failed = self.pool.failures(row, self.must_be_right)
                if failed.keys() <= relaxed:
                    self.row_taken[text] = row
                    most -= 1
                    yield Choice(row, int(self.clusters.labels[row]), int(self.ranks[row]), level)

    def table_row(self, choice: Choice, method: str) -> ExemplarRow:
        """Return a choice as a row of the table."""
        question = self.pool.question(choice.row)
        sample = self.pool.sample(question["question_id"])
        assert sample is not None
        return ExemplarRow(
            task=self.pool.task,
            method=method,
            cluster=choice.cluster,
            cluster_size=len(self.members[choice.cluster]),
            rank=choice.rank,
            relaxation_level=choice.relaxation_level,
            distance=float(self.clusters.distances[choice.row]),
            question_id=question["question_id"],
            question=question["question"],
            rationale=exemplar_rationale(sample["rationale"]),
            answer=answers.canonical(sample["prediction"], question["answer_type"]),
            passed_over=tuple(self._passed_over(choice)),
        )

    def _passed_over(self, choice: Choice) -> Iterator[PassedOver]:
        """Yield the nearer questions of the cluster that were not chosen, and why not."""
        relaxed = RELAXATION_LEVELS[min(choice.relaxation_level, len(RELAXATION_LEVELS)) - 1]
        nearer = self.members[choice.cluster][: choice.rank].tolist()
        for rank, row in enumerate(nearer):
            if self.row_taken.get(self.pool.normalised(row)) == row:
                continue
            failed = self.pool.failures(row, self.must_be_right)
            distance = float(self.clusters.distances[row])
            condition, reason = why_not(failed, relaxed)
            yield PassedOver(self.pool.question_id(row), rank, distance, condition, reason)


def why_not(failed: Mapping[str, str], relaxed: Collection[str]) -> tuple[str, str]:
    """Return why a question was passed over on a relaxation level: (the first failed condition, all of them as text).

    Args:
        failed: failed conditions with their reasons, see `conditions.failures`.
        relaxed: conditions that do not count on the level.
    """
    counted = {condition: text for condition, text in failed.items() if condition not in relaxed}
    if not counted:
        return "repeated", "repeats the question of an exemplar"
    return next(iter(counted)), "; ".join(counted.values())


def _nothing_eligible(pool: Pool, must_be_right: bool) -> UserError:
    counts: Counter[str] = Counter()
    for row in range(pool.questions.num_rows):
        counts.update(pool.failures(row, must_be_right).keys())
    failed = ", ".join(f"{condition}: {count}" for condition, count in counts.most_common())
    right = " right" if must_be_right else ""
    return UserError(
        f"Task {pool.task}: none of the teacher's {pool.questions.num_rows} zero-shot answers can be an exemplar with a"
        f"{right} answer (failed conditions: {failed}).",
        "See the table zero_shot: a teacher that answers nothing right cannot be distilled. Your own exemplars can be "
        "given with exemplars.file.",
    )

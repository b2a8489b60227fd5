"""Section: the exemplars: of each cluster its size, what was chosen, and why each nearer candidate was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import pyarrow.compute as pc
from markupsafe import Markup

from raydistill.exemplars.choice import why_not
from raydistill.exemplars.conditions import RELAXATION_LEVELS, failures
from raydistill.method.methods import METHODS
from raydistill.report import labels, plots, records
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content
from raydistill.report.sections.examples import with_ids
from raydistill.tables import Row

CLIPPED = 240  # characters shown of the question of a candidate that was passed over
LISTED = 500  # candidates listed for one exemplar; the table `exemplars` has them all

"""A row of QUESTIONS or SAMPLES, as `conditions.failures` reads it."""


class _Candidate(TypedDict):
    """An entry of EXEMPLARS.passed_over."""

    question_id: str
    rank: int
    distance: float
    condition: str
    reason: str


@dataclass(frozen=True)
class _Exemplar:
    """Columns of EXEMPLARS."""

    task: str
    method: str
    cluster: int
    cluster_size: int
    rank: int
    relaxation_level: int
    distance: float
    question_id: str
    question: str
    rationale: str
    answer: str
    passed_over: Sequence[_Candidate]


@dataclass(frozen=True)
class _ClusterPoint:
    """Columns of CLUSTERS."""

    task: str
    question_id: str
    cluster: int
    distance: float
    x: float
    y: float


class PassedOver(NamedTuple):
    """A nearer candidate that did not become the exemplar."""

    rank: int
    distance: float
    reason: str
    question: str


class Cluster(NamedTuple):
    """A cluster and its exemplar; None if no question of it can be one."""

    number: int
    size: int
    exemplar: _Exemplar | None
    passed_over: Sequence[PassedOver]
    """At most `LISTED`."""
    passed_over_total: int
    reasons: Sequence[tuple[str, int]]
    """Why, without particulars, with their numbers."""

    @property
    def relaxation_level(self) -> int:
        """The level that the exemplar was accepted on; 0: it was given in a file."""
        return self.exemplar.relaxation_level if self.exemplar else 1

    @property
    def stands_in(self) -> bool:
        """True if the exemplar fills the place of a cluster without one."""
        return self.relaxation_level > len(RELAXATION_LEVELS)


class ClusterTable(NamedTuple):
    """The clusters under one way to prompt with exemplars."""

    name: str
    clusters: Sequence[Cluster]


class TaskExemplars(NamedTuple):
    """The exemplars of a task."""

    name: str
    map: Markup | None
    n: int
    """Questions on the map."""
    numbered: str
    """The way to prompt whose exemplars are numbered on the map; "": there are none."""
    tables: Sequence[ClusterTable]


@dataclass(frozen=True, kw_only=True)
class Exemplars(Content):
    """See exemplars.html."""

    tasks: Sequence[TaskExemplars]
    from_file: bool
    """True if the user gave the exemplars."""


def build(run: RunReport) -> Exemplars | None:
    """Show a map of each task's clusters and, for each way to prompt with exemplars, a row for each cluster."""
    exemplars = records.read(run["exemplars"], _Exemplar)
    points = records.group(records.read(run["clusters"], _ClusterPoint), lambda point: point.task)
    by_task = records.group(exemplars, lambda exemplar: exemplar.task)
    last_method = max((exemplar.method for exemplar in exemplars), key=labels.method_order, default="")
    tasks = []
    for task in records.unique([*points, *by_task]):
        tasks.append(_task(run, task, points.get(task, []), by_task.get(task, []), last_method))
    if not tasks:
        return None
    from_file = bool(exemplars) and all(exemplar.relaxation_level == 0 for exemplar in exemplars)
    return Exemplars(tasks=tasks, from_file=from_file)


def _task(
    run: RunReport, task: str, points: Sequence[_ClusterPoint], exemplars: Sequence[_Exemplar], last_method: str
) -> TaskExemplars:
    """Make the map and the tables of a task; exemplars of `last_method` are numbered on the map."""
    numbered = {}
    for exemplar in exemplars:
        if exemplar.method == last_method:
            numbered[exemplar.question_id] = exemplar.cluster
    tables = []
    for method, of_method in records.group(exemplars, lambda exemplar: exemplar.method).items():
        clusters = _with_exemplar(of_method, run) + _without_exemplar(of_method, points, method, run)
        clusters.sort(key=lambda cluster: cluster.number)
        tables.append(ClusterTable(f"exemplars of “{labels.teacher_method(method)}”", clusters))
    drawn = None
    if points:
        map_points = [plots.MapPoint(point.question_id, point.cluster, point.x, point.y) for point in points]
        drawn = plots.clusters(map_points, numbered, f"Clusters of {labels.task(task)} questions")
    number_of = labels.teacher_method(last_method) if numbered else ""
    return TaskExemplars(labels.task(task), drawn, len(points), number_of, tables)


def _with_exemplar(exemplars: Sequence[_Exemplar], run: RunReport) -> list[Cluster]:
    ids: list[str] = []
    for exemplar in exemplars:
        ids += [candidate["question_id"] for candidate in exemplar.passed_over[:LISTED]]
    questions = _by_id(run, "questions", ids)
    clusters = []
    for exemplar in exemplars:
        candidates = exemplar.passed_over
        total = len(candidates)
        clusters.append(_cluster(exemplar.cluster, exemplar.cluster_size, exemplar, candidates, total, questions))
    return clusters


def _without_exemplar(
    exemplars: Sequence[_Exemplar], points: Sequence[_ClusterPoint], method: str, run: RunReport
) -> list[Cluster]:
    """Make rows for the clusters without an exemplar, with what their questions fail at the last relaxation level."""
    taken = {exemplar.cluster for exemplar in exemplars}
    clusters = []
    for number, members in records.group(points, lambda point: point.cluster).items():
        if number in taken:
            continue
        members.sort(key=lambda point: point.distance)
        ids = [point.question_id for point in members[:LISTED]]
        questions = _by_id(run, "questions", ids)
        samples = _by_id(run, "zero_shot", ids)
        candidates = []
        for rank, point in enumerate(members[:LISTED]):
            question = questions.get(point.question_id)
            condition, reason = _why_not(question, samples.get(point.question_id), method, run)
            candidates.append(
                _Candidate(
                    question_id=point.question_id,
                    rank=rank,
                    distance=point.distance,
                    condition=condition,
                    reason=reason,
                )
            )
        clusters.append(_cluster(number, len(members), None, candidates, len(members), questions))
    return clusters


def _why_not(question: Row | None, sample: Row | None, method: str, run: RunReport) -> tuple[str, str]:
    """Return the first condition that a question fails on the last relaxation level, and all of them as text."""
    failed: dict[str, str] = {}
    if question:
        must_be_right = METHODS[method].exemplars == "correct_answer"
        failed = failures(question, sample, run.settings.exemplars, must_be_right=must_be_right)
    return why_not(failed, RELAXATION_LEVELS[-1])


def _cluster(
    number: int,
    size: int,
    exemplar: _Exemplar | None,
    candidates: Sequence[_Candidate],
    total: int,
    questions: Mapping[str, Row],
) -> Cluster:
    """Make a row of the table.

    Args:
        number: of the cluster.
        size: its questions.
        exemplar: the chosen one, or None.
        candidates: the nearer ones that were passed over, by rank.
        total: how many were passed over.
        questions: rows of QUESTIONS by id, for the candidates that are listed.
    """
    reasons = Counter(labels.condition(candidate.get("condition") or candidate["reason"]) for candidate in candidates)
    listed = []
    for candidate in candidates[:LISTED]:
        question = _clipped(questions.get(candidate["question_id"]))
        listed.append(PassedOver(candidate["rank"], candidate["distance"], candidate["reason"], question))
    return Cluster(number, size, exemplar, listed, total, reasons.most_common())


def _by_id(run: RunReport, table: str, question_ids: Sequence[str]) -> dict[str, Row]:
    """Return the rows of a table with these question ids; of samples the greedy one."""
    rows = with_ids(run[table], question_ids)
    if "degree" in rows.column_names:
        rows = rows.filter(pc.equal(rows["degree"], 1))
    return {row["question_id"]: row for row in rows.to_pylist()}


def _clipped(question: Row | None) -> str:
    text = " ".join(question["question"].split()) if question else "–"
    return text if len(text) <= CLIPPED else f"{text[: CLIPPED - 1]}…"

"""The cascade: what the student is sure of it answers itself, the rest goes to the teacher.

The threshold is chosen on questions kept out of training (`students.validation_fraction`); the curve is drawn on test
questions. Confidence is the mean probability of the answer's tokens, or the share of votes among sampled answers
(self-consistency, Wang et al. 2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from raydistill.config import CascadeSettings
from raydistill.runtime.store import Store, fingerprint

INPUTS = ("questions", "training", "students", "predictions", "zero_shot", "few_shot")


class Point(NamedTuple):
    """What comes of asking the teacher wherever the student's confidence is below `threshold`."""

    threshold: float
    teacher_fraction: float
    """Share of the questions that go to the teacher, 0 … 1."""
    accuracy: float
    """Of student and teacher together, 0 … 1."""


def vote(predictions: Sequence[str | None]) -> tuple[str | None, float]:
    """The answer that most samples gave and its share of them; the earlier one of two that tie; None does not vote."""
    counts = Counter(p for p in predictions if p is not None)
    if not counts:
        return None, 0.0
    answer, votes = counts.most_common(1)[0]  # of equal counts, the first seen
    return answer, votes / len(predictions)


def curve(confidence: Sequence[float], student: Sequence[bool], teacher: Sequence[bool]) -> list[Point]:
    """Accuracy against the share of teacher calls, from the student alone (share 0) to the teacher alone (share 1).

    Args:
        confidence: the student's, one for each question.
        student: whether the student's answer is right.
        teacher: whether the teacher's is. Questions of equal confidence go to the teacher together: the points are
            those that a threshold can reach.
    """
    rows = sorted(zip(confidence, student, teacher, strict=True), key=lambda row: row[0])
    if not rows:
        return []
    right = sum(s for _, s, _ in rows)
    points = [Point(rows[0][0], 0.0, right / len(rows))]
    for at, (sure, own, asked) in enumerate(rows, start=1):
        right += asked - own
        above = rows[at][0] if at < len(rows) else float("inf")
        if above != sure:
            points.append(Point(above, at / len(rows), right / len(rows)))
    return points


def choose(points: Sequence[Point], *, teacher_fraction: float | None = None, accuracy: float | None = None) -> float:
    """The threshold for a target: the most accurate point within a share of teacher calls, or the cheapest point that
    reaches an accuracy (the most accurate one where none does). `points` come from validation questions.

    Raises:
        ValueError: not exactly one target, or no points.
    """
    if (teacher_fraction is None) == (accuracy is None) or not points:
        raise ValueError("one target, and at least one point to choose from")
    if teacher_fraction is not None:
        within = [p for p in points if p.teacher_fraction <= teacher_fraction]
        return max(within, key=lambda p: (p.accuracy, -p.teacher_fraction)).threshold
    reached = [p for p in points if p.accuracy >= (accuracy or 0)]
    if reached:
        return min(reached, key=lambda p: p.teacher_fraction).threshold
    return max(points, key=lambda p: (p.accuracy, -p.teacher_fraction)).threshold


def at(threshold: float, confidence: Sequence[float], student: Sequence[bool], teacher: Sequence[bool]) -> Point:
    """The cascade at one threshold on other questions than it was chosen on."""
    asked = [c < threshold for c in confidence]
    right = [t if ask else s for ask, s, t in zip(asked, student, teacher, strict=True)]
    return Point(threshold, sum(asked) / len(asked), sum(right) / len(right))


def key(store: Store) -> str:
    """Fingerprint of table `cascade`: of the tables that it is made from, so that an older run's is not shown."""
    return fingerprint("cascade", [(store.manifest(name) or {}).get("content") for name in INPUTS])


def goal(settings: CascadeSettings) -> str:
    """What the threshold is chosen for, in words."""
    if settings.accuracy is not None:
        return f"as few teacher calls as reach {100 * settings.accuracy:g} %"
    return f"the most right answers with at most {100 * settings.teacher_fraction:g} % of the questions to the teacher"

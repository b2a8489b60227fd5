"""The cascade: what the student is sure of it answers itself, the rest goes to the teacher.

The threshold is chosen on questions kept out of training (`students.validation_fraction`); the curve is drawn on test
questions. Confidence is the mean probability of the answer's tokens, or the fraction of votes among sampled answers
(self-consistency, Wang et al. 2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from raydistill.config import CascadeSettings
from raydistill.runtime.stage_formats import STAGE_FORMATS
from raydistill.runtime.store import Store, fingerprint

INPUTS = ("questions", "training", "students", "predictions", "zero_shot", "few_shot")


class Point(NamedTuple):
    """What comes of passing to the teacher all questions whose confidence is below `threshold`."""

    threshold: float
    teacher_fraction: float
    """Fraction of the questions that go to the teacher, 0 … 1."""
    accuracy: float
    """Of student and teacher together, 0 … 1."""


def vote(predictions: Sequence[str | None]) -> tuple[str | None, float]:
    """Return the answer that most samples gave and its fraction of them.

    Of two that tie it is the earlier one; None does not vote.
    """
    counts = Counter(prediction for prediction in predictions if prediction is not None)
    if not counts:
        return None, 0.0
    answer, votes = counts.most_common(1)[0]  # of equal counts, the first seen
    return answer, votes / len(predictions)


def curve(confidence: Sequence[float], student: Sequence[bool], teacher: Sequence[bool]) -> list[Point]:
    """Return accuracy against teacher fraction, from the student alone (0) to the teacher alone (1).

    Args:
        confidence: the student's, one for each question.
        student: whether the student's answer is right.
        teacher: whether the teacher's is. Questions of equal confidence go to the teacher together: the points are
            those that a threshold can reach.
    """
    rows = sorted(zip(confidence, student, teacher, strict=True), key=lambda row: row[0])
    if not rows:
        return []
    correct = sum(student)
    points = [Point(rows[0][0], 0.0, correct / len(rows))]
    for passed, (row_confidence, student_correct, teacher_correct) in enumerate(rows, start=1):
        correct += teacher_correct - student_correct
        threshold = rows[passed][0] if passed < len(rows) else float("inf")
        if threshold != row_confidence:
            points.append(Point(threshold, passed / len(rows), correct / len(rows)))
    return points


def choose(points: Sequence[Point], *, teacher_fraction: float | None = None, accuracy: float | None = None) -> float:
    """Return the threshold for a target: one of a teacher fraction and an accuracy.

    It is that of the most accurate point within the teacher fraction, or of the cheapest point that reaches the
    accuracy (the most accurate one if none does).

    Args:
        points: of validation questions.
        teacher_fraction: largest fraction of the questions that may go to the teacher.
        accuracy: to reach.

    Raises:
        ValueError: not exactly one target, or no points.
    """
    if (teacher_fraction is None) == (accuracy is None) or not points:
        raise ValueError("one target, and at least one point to choose from")
    if teacher_fraction is not None:
        affordable = [point for point in points if point.teacher_fraction <= teacher_fraction]
        return _most_accurate(affordable).threshold
    sufficient = [point for point in points if point.accuracy >= (accuracy or 0)]
    if sufficient:
        return min(sufficient, key=lambda point: point.teacher_fraction).threshold
    return _most_accurate(points).threshold


def _most_accurate(points: Sequence[Point]) -> Point:
    """Return the most accurate point, of equally accurate ones the cheapest."""
    return max(points, key=lambda point: (point.accuracy, -point.teacher_fraction))


def at(threshold: float, confidence: Sequence[float], student: Sequence[bool], teacher: Sequence[bool]) -> Point:
    """Return the point of one threshold on other questions than it was chosen on.

    Args:
        threshold: questions with less confidence go to the teacher.
        confidence: the student's, one for each question.
        student: whether the student's answer is right.
        teacher: whether the teacher's is.
    """
    passed = 0
    correct = 0
    for row_confidence, student_correct, teacher_correct in zip(confidence, student, teacher, strict=True):
        is_passed = row_confidence < threshold
        passed += is_passed
        correct += teacher_correct if is_passed else student_correct
    return Point(threshold, passed / len(confidence), correct / len(confidence))


def key(store: Store) -> str:
    """Return the fingerprint of table `cascade`: of the tables that it is made from, so that no older one is shown."""
    contents = []
    for name in INPUTS:
        manifest = store.manifest(name) or {}
        contents.append(manifest.get("content"))
    return fingerprint("cascade", STAGE_FORMATS["cascade"], contents)


def goal(settings: CascadeSettings) -> str:
    """Return what the threshold is chosen for, in words."""
    if settings.accuracy is not None:
        return f"as few teacher calls as reach {100 * settings.accuracy:g} %"
    return f"the most right answers with at most {100 * settings.teacher_fraction:g} % of the questions to the teacher"

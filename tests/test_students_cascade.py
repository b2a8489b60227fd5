"""The cascade's arithmetic, on any confidences and any rights and wrongs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.students.cascade import Point, at, choose, curve, vote

ROWS = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9, 1.0]), st.booleans(), st.booleans()), min_size=1)


@given(ROWS)
def test_each_point_is_what_its_threshold_does(rows):
    confidence, student, teacher = zip(*rows, strict=True)
    points = curve(confidence, student, teacher)
    assert points[0].teacher_share == 0
    assert points[0].accuracy == pytest.approx(sum(student) / len(rows))
    assert points[-1].teacher_share == 1
    assert points[-1].accuracy == pytest.approx(sum(teacher) / len(rows))
    shares = [p.teacher_share for p in points]
    assert shares == sorted(set(shares))
    for point in points:
        assert at(point.threshold, confidence, student, teacher) == pytest.approx(point)


@given(ROWS, st.floats(0, 1))
def test_targets_are_met_as_cheaply_as_can_be(rows, target):
    points = curve(*zip(*rows, strict=True))
    by = {p.threshold: p for p in points}
    within = by[choose(points, teacher_share=target)]
    assert within.teacher_share <= target
    assert within.accuracy == max(p.accuracy for p in points if p.teacher_share <= target)
    reached = by[choose(points, accuracy=target)]
    best = max(p.accuracy for p in points)
    if best >= target:
        assert reached.accuracy >= target
        assert not any(p.accuracy >= target and p.teacher_share < reached.teacher_share for p in points)
    else:
        assert reached.accuracy == best


def test_a_sure_student_is_left_alone():
    points = curve([0.9, 0.4, 0.8, 0.3], [True, False, True, False], [True, True, False, True])
    assert points == [
        Point(0.3, 0.0, 0.5),
        Point(0.4, 0.25, 0.75),
        Point(0.8, 0.5, 1.0),
        Point(0.9, 0.75, 0.75),
        Point(float("inf"), 1.0, 0.75),
    ]
    assert choose(points, teacher_share=0.3) == 0.4
    assert choose(points, accuracy=0.7) == 0.4
    with pytest.raises(ValueError, match="one target"):
        choose(points)
    assert curve([], [], []) == []


def test_votes():
    assert vote(["a", "b", "b", None]) == ("b", 0.5)
    assert vote(["a", "b"]) == ("a", 0.5)
    assert vote([None, None]) == (None, 0.0)

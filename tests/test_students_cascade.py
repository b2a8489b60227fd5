"""The cascade's arithmetic, on any confidences and any rights and wrongs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.students import answer, settings, tables, train

from raydistill.cli.cascade import main as job
from raydistill.config import CascadeSettings
from raydistill.report import results
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.store import Store
from raydistill.students.cascade import Point, at, choose, curve, goal, vote
from raydistill.tables import CASCADE, SAMPLES, STUDENTS

pytestmark = pytest.mark.usefixtures("one_thread")


ROWS = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9, 1.0]), st.booleans(), st.booleans()), min_size=1)


@given(ROWS)
def test_each_point_is_what_its_threshold_does(rows: list[tuple[float, bool, bool]]) -> None:
    confidence, student, teacher = zip(*rows, strict=True)
    points = curve(confidence, student, teacher)
    assert points[0].teacher_fraction == 0
    assert points[0].accuracy == pytest.approx(sum(student) / len(rows))
    assert points[-1].teacher_fraction == 1
    assert points[-1].accuracy == pytest.approx(sum(teacher) / len(rows))
    shares = [p.teacher_fraction for p in points]
    assert shares == sorted(set(shares))
    for point in points:
        assert at(point.threshold, confidence, student, teacher) == pytest.approx(point)


@given(ROWS, st.floats(0, 1))
def test_targets_are_met_as_cheaply_as_can_be(rows: list[tuple[float, bool, bool]], target: float) -> None:
    points = curve(*zip(*rows, strict=True))
    by = {p.threshold: p for p in points}
    within = by[choose(points, teacher_fraction=target)]
    assert within.teacher_fraction <= target
    assert within.accuracy == max(p.accuracy for p in points if p.teacher_fraction <= target)
    reached = by[choose(points, accuracy=target)]
    best = max(p.accuracy for p in points)
    if best >= target:
        assert reached.accuracy >= target
        assert not any(p.accuracy >= target and p.teacher_fraction < reached.teacher_fraction for p in points)
    else:
        assert reached.accuracy == best


def test_a_sure_student_is_left_alone() -> None:
    points = curve([0.9, 0.4, 0.8, 0.3], [True, False, True, False], [True, True, False, True])
    assert points == [
        Point(0.3, 0.0, 0.5),
        Point(0.4, 0.25, 0.75),
        Point(0.8, 0.5, 1.0),
        Point(0.9, 0.75, 0.75),
        Point(float("inf"), 1.0, 0.75),
    ]
    assert choose(points, teacher_fraction=0.3) == 0.4
    assert choose(points, accuracy=0.7) == 0.4
    with pytest.raises(ValueError, match="one target"):
        choose(points)
    assert curve([], [], []) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [({"accuracy": 0.995}, "as reach 99.5 %"), ({"accuracy": 0.29}, "as reach 29 %"), ({}, "at most 20 % of the")],
)
def test_a_goal_is_told_as_it_is(target: dict[str, float], words: str) -> None:
    assert words in goal(CascadeSettings(**target))


def test_votes() -> None:
    assert vote(["a", "b", "b", None]) == ("b", 0.5)
    assert vote(["a", "b"]) == ("a", 0.5)
    assert vote([None, None]) == (None, 0.0)


def test_job_writes_the_curves_of_a_student_and_a_teacher_and_the_report_anew(
    tmp_path: Path, tiny_t5: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, training = tables(methods=("vanilla",))
    config = settings(
        tmp_path, tiny_t5, methods=["vanilla"], num_train_epochs=6, learning_rate=1e-2, validation_fraction=0.25
    )
    config = config.model_copy(update={"cascade": CascadeSettings(votes=3, teacher_fraction=0.5)})
    students, _ = train(config, questions, training)
    predictions, _ = answer(config, questions, students)
    table = pa.Table.from_pylist(students, schema=STUDENTS)
    store = Store(config.run_path)
    made = {"questions": questions, "training": training, "students": table, "predictions": predictions}
    made["results"] = results.summarise(table, predictions, questions)
    for name, rows in made.items():
        store.write(name, rows, "key")
    given = tmp_path / "given.yaml"
    given.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    with pytest.raises(SettingsError, match=r"(?s)teacher was asked none.*students\.methods"):
        job([str(given)])

    blank = dict.fromkeys(SAMPLES.names) | {"task": "coin_flip", "split": "test", "degree": 1, "error": ""}
    for stage, right in (("zero_shot", False), ("few_shot", True)):  # the few-shot teacher is always right
        method = {"zero_shot": "fine_tune_cot", "few_shot": "new_fine_tune_cot"}[stage]
        ids = questions["question_id"].to_pylist()
        samples = [blank | {"question_id": i, "method": method, "robust_correct": right} for i in ids]
        store.write(stage, pa.Table.from_pylist(samples, schema=SAMPLES), "key")
    job([str(given)])
    found = store.read("cascade")
    assert found.schema.equals(CASCADE)
    rows = found.to_pylist()
    assert {(r["confidence"], r["split"]) for r in rows} == {
        (c, s) for c in ("probability", "votes") for s in ("validation", "test")
    }
    alone = pc.mean(predictions["correct"].cast(pa.float64())).as_py()
    test = [r for r in rows if (r["confidence"], r["split"]) == ("probability", "test")]
    assert next(r["accuracy"] for r in test if r["teacher_fraction"] == 0 and not r["chosen"]) == pytest.approx(alone)
    assert next(r["accuracy"] for r in test if r["teacher_fraction"] == 1 and not r["chosen"]) == 1
    assert sum(r["chosen"] for r in test) == 1
    validation = [r for r in rows if (r["confidence"], r["split"]) == ("probability", "validation")]
    assert next(r for r in validation if r["chosen"])["teacher_fraction"] <= 0.5
    assert "Student and teacher together" in store.read_text("report.html")
    assert "at most 50 % of the questions" in store.read_text("report.html")
    assert "Student and teacher:" in capsys.readouterr().out

    with pytest.raises(SettingsError, match="validation_fraction"):
        job([str(given), "--students.validation_fraction", "0"])
    with pytest.raises(SettingsError, match="trained with these settings"):
        job([str(given), "--students.num_train_epochs", "7"])

"""When students pass questions on to the teacher: a curve for each student, and the threshold to use.

The teacher's answers are those of the run's zero_shot and few_shot tables: no call is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import CascadeSettings, Settings
from raydistill.method.methods import METHODS
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import cascade, cascade_answers, grid
from raydistill.students.answering import Assignment
from raydistill.students.cascade_answers import ScoredAnswer
from raydistill.students.records import StudentRow, student_rows
from raydistill.tables import CASCADE


class CascadeRow(NamedTuple):
    """One row of CASCADE (fields as in tables.CASCADE)."""

    trial: str
    task: str
    student: str
    method: str
    confidence: str
    split: str
    threshold: float
    teacher_fraction: float
    accuracy: float
    chosen: bool


class _Compared(NamedTuple):
    """Student and teacher on the questions of one split that both answered."""

    confidence: list[float]
    student: list[bool]
    """Whether the student's answer is right."""
    teacher: list[bool]
    """Whether the teacher's is."""


def check(samples: pa.Table, settings: Settings) -> None:
    """Check, before Ray is started, that there is a teacher to pass questions on to, and a way to choose a threshold.

    Raises:
        SettingsError: the teacher has no samples, or the students were trained without a validation part.
    """
    if not samples.num_rows:
        raise SettingsError(
            "A cascade passes questions on to the teacher, but this run's teacher was asked none.",
            "Add new_fine_tune_cot (or another method with a teacher) to students.methods and run the pipeline again.",
        )
    if not settings.students.validation_fraction:
        raise SettingsError(
            "A cascade chooses its threshold on questions that were kept out of training, and there are none.",
            "Set students.validation_fraction (0.1, say) and run the pipeline again.",
        )


def run(
    questions: pa.Table,
    training: pa.Table,
    students: pa.Table,
    predictions: pa.Table,
    samples: pa.Table,
    settings: Settings,
    store: Store,
    progress: Progress,
) -> pa.Table:
    """Return CASCADE of every trained student: a curve for each confidence and split, the chosen threshold marked.

    Args:
        questions: QUESTIONS.
        training: TRAINING.
        students: STUDENTS.
        predictions: PREDICTIONS on the test questions.
        samples: SAMPLES of the teacher, zero-shot and few-shot together.
        settings: of the run.
        store: the run directory.
        progress: shows the questions.

    Raises:
        SettingsError: see `check`; or no student was trained with these settings.
    """
    check(samples, settings)
    validation = _validation_assignments(questions, training, students, settings, store)
    if not validation:
        raise SettingsError(
            f"No student in {store.path} was trained with these settings.",
            "Give the settings that the pipeline ran with (settings.yaml there), or run the pipeline again.",
        )
    cascade_rows: list[CascadeRow] = []
    with progress.stage("cascade") as stage:
        probability_answers = cascade_answers.by_probability(validation, predictions, settings, stage)
        for assignment in validation:
            student = assignment.student
            cascade_rows += _curves(
                student, "probability", probability_answers[student.trial], samples, settings.cascade
            )
        if settings.cascade.votes:
            vote_answers = cascade_answers.by_votes(validation, questions, settings, stage)
            for assignment in validation:
                student = assignment.student
                cascade_rows += _curves(student, "votes", vote_answers[student.trial], samples, settings.cascade)
        stage.finish(f"{len(validation)} students")
    return pa.Table.from_pylist([row._asdict() for row in cascade_rows], schema=CASCADE)


def _validation_assignments(
    questions: pa.Table, training: pa.Table, students: pa.Table, settings: Settings, store: Store
) -> list[Assignment]:
    """Return the students that were trained with these settings, with their validation questions."""
    trials, _ = grid.plan(questions, training, settings, store)
    validation = {trial.key: trial.validation for trial in trials}
    assignments = []
    for student in student_rows(students):
        if student.trial in validation and not student.error:
            assignments.append(Assignment(student, validation[student.trial]))
    return assignments


def _curves(
    student: StudentRow,
    confidence: str,
    scored: Sequence[ScoredAnswer],
    samples: pa.Table,
    settings: CascadeSettings,
) -> list[CascadeRow]:
    """Return the rows of one student and kind of confidence."""
    compared_by_split = _compare(scored, _teacher_correct(samples, student))
    curves = {split: cascade.curve(*compared) for split, compared in compared_by_split.items()}
    threshold = None
    if curves.get("validation"):
        threshold = _choose(curves["validation"], settings)
    cascade_rows = []
    for split, points in curves.items():
        for point in points:
            cascade_rows.append(_row(student, confidence, split, point, chosen=False))
        if threshold is not None and points:
            chosen_point = cascade.at(threshold, *compared_by_split[split])
            cascade_rows.append(_row(student, confidence, split, chosen_point, chosen=True))
    return cascade_rows


def _choose(points: Sequence[cascade.Point], settings: CascadeSettings) -> float:
    """Return the threshold that the validation questions suggest for the settings' target."""
    if settings.accuracy is not None:
        return cascade.choose(points, accuracy=settings.accuracy)
    return cascade.choose(points, teacher_fraction=settings.teacher_fraction)


def _compare(scored: Sequence[ScoredAnswer], teacher_correct: dict[str, bool]) -> dict[str, _Compared]:
    """Return student and teacher by split; questions that the teacher left without an answer cannot be passed on."""
    compared_by_split: dict[str, _Compared] = {}
    for score in scored:
        compared = compared_by_split.setdefault(score.split, _Compared([], [], []))
        if score.question_id in teacher_correct:
            compared.confidence.append(score.confidence)
            compared.student.append(score.correct)
            compared.teacher.append(teacher_correct[score.question_id])
    return compared_by_split


def _row(student: StudentRow, confidence: str, split: str, point: cascade.Point, *, chosen: bool) -> CascadeRow:
    return CascadeRow(
        trial=student.trial,
        task=student.task,
        student=student.student,
        method=student.method,
        confidence=confidence,
        split=split,
        threshold=point.threshold,
        teacher_fraction=point.teacher_fraction,
        accuracy=point.accuracy,
        chosen=chosen,
    )


def _teacher_correct(samples: pa.Table, student: StudentRow) -> dict[str, bool]:
    """Return whether the teacher's greedy answer is right, by question, read by the robust rules as the student's.

    It is the answer to the student's own method; of a student that has no teacher, to the last method that has one.
    """
    is_greedy = (pc.field("task") == student.task) & (pc.field("degree") == 1) & (pc.field("error") == "")
    greedy = samples.filter(is_greedy)
    answered_methods = set(greedy["method"].to_pylist())
    teacher_methods = [method.name for method in METHODS.values() if method.asks_teacher]
    method = ""
    for name in (student.method, *reversed(teacher_methods)):
        if name in answered_methods:
            method = name
            break
    own = greedy.filter(pc.field("method") == method)
    return dict(zip(own["question_id"].to_pylist(), own["robust_correct"].to_pylist(), strict=True))

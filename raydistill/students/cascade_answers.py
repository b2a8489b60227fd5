"""A student's answers to validation and test questions with its confidence in them, by probability or by votes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings
from raydistill.method import answers
from raydistill.runtime.progress import Stage
from raydistill.students import cascade, predict
from raydistill.students.answering import Assignment, answer
from raydistill.tables import rows


class ScoredAnswer(NamedTuple):
    """A student's answer to one question."""

    split: str
    question_id: str
    confidence: float
    correct: bool


def by_probability(
    validation: Sequence[Assignment], predictions: pa.Table, settings: Settings, stage: Stage
) -> dict[str, list[ScoredAnswer]]:
    """Return each trial's answers to validation and test questions, with their token probabilities."""
    scored: dict[str, list[ScoredAnswer]] = defaultdict(list)
    stage.update(0, total=sum(assignment.questions.num_rows for assignment in validation))
    for part in answer(validation, settings):
        for row in rows(part):
            scored[row["trial"]].append(
                ScoredAnswer("validation", row["question_id"], row["confidence"], row["correct"])
            )
        stage.update(stage.done + part.num_rows)
    for row in rows(predictions):
        scored[row["trial"]].append(ScoredAnswer(row["split"], row["question_id"], row["confidence"], row["correct"]))
    return scored


def by_votes(
    validation: Sequence[Assignment], questions: pa.Table, settings: Settings, stage: Stage
) -> dict[str, list[ScoredAnswer]]:
    """Return each trial's answers to validation and test questions by the vote of sampled answers."""
    votes = settings.cascade.votes
    tests = questions.filter(pc.is_in(questions["split"], pa.array(predict.TEST_SPLITS)))
    assignments = []
    for student, held_out in validation:
        task_tests = tests.filter(pc.field("task") == student.task)
        assignments.append(Assignment(student, pa.concat_tables([held_out, task_tests])))
    stage.update(0, total=votes * sum(assignment.questions.num_rows for assignment in assignments))
    sampled: dict[str, list[pa.Table]] = defaultdict(list)
    for part in answer(assignments, settings, samples=range(votes)):
        sampled[part["trial"][0].as_py()].append(part)
        stage.update(stage.done + part.num_rows)
    scored: dict[str, list[ScoredAnswer]] = defaultdict(list)  # nothing of a student that cannot be opened
    for trial, parts in sampled.items():
        scored[trial] = list(_voted(pa.concat_tables(parts), questions))
    return scored


def _voted(sampled: pa.Table, questions: pa.Table) -> Iterator[ScoredAnswer]:
    """Yield the vote on each question of one student's sampled answers (PREDICTIONS)."""
    questions_by_id = {row["question_id"]: row for row in rows(questions)}
    predictions_by_id: dict[str, list[str | None]] = defaultdict(list)
    for row in rows(sampled):
        predictions_by_id[row["question_id"]].append(row["prediction"])
    for question_id, predictions in predictions_by_id.items():
        question = questions_by_id[question_id]
        prediction, fraction = cascade.vote(predictions)
        correct = answers.is_correct(
            prediction, question["answer"], answer_type=question["answer_type"], task=question["task"]
        )
        split = "validation" if question["split"] == "train" else question["split"]
        yield ScoredAnswer(split, question_id, fraction, correct)

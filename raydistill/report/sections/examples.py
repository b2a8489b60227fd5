"""Section: a few test questions with the teacher's answer and the students'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.report import examples, records
from raydistill.report.examples import Example
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content


@dataclass(frozen=True)
class Question:
    """Columns of QUESTIONS."""

    question_id: str
    question: str
    answer: str


@dataclass(frozen=True)
class TeacherAnswer:
    """Columns of SAMPLES."""

    question_id: str
    method: str
    degree: int
    rationale: str
    prediction: str | None
    correct: bool
    error: str


class ShownExample(NamedTuple):
    """An example, its question and the teacher's answer to it."""

    example: Example
    question: Question
    teacher: TeacherAnswer | None


@dataclass(frozen=True, kw_only=True)
class Examples(Content):
    """See examples.html."""

    examples: Sequence[ShownExample]


def build(run: RunReport) -> Examples | None:
    """Show telling questions with the teacher's greedy answer (few-shot, if there is one) and the students'."""
    chosen = examples.choose(run["results"], run["predictions"])
    ids = [example.question_id for example in chosen]
    questions = questions_by_id(run, ids)
    answers = {}
    for table in (run["zero_shot"], run["few_shot"]):  # the few-shot answer replaces the zero-shot one
        for row in records.read(with_ids(table, ids), TeacherAnswer):
            if row.degree == 1 and not row.error:
                answers[row.question_id] = row
    shown_examples = []
    for example in chosen:
        question = questions.get(example.question_id)
        if question:
            shown_examples.append(ShownExample(example, question, answers.get(example.question_id)))
    return Examples(examples=shown_examples) if shown_examples else None


def questions_by_id(run: RunReport, question_ids: Iterable[str]) -> dict[str, Question]:
    """Return the questions with these ids."""
    rows = records.read(with_ids(run["questions"], question_ids), Question)
    return {row.question_id: row for row in rows}


def with_ids(table: pa.Table, question_ids: Iterable[str]) -> pa.Table:
    """Return the rows of `table` whose question_id is among these."""
    ids = pa.array(sorted(set(question_ids)), pa.string())
    return table.filter(pc.is_in(table["question_id"], value_set=ids))

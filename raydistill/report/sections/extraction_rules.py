"""Section: how often the robust and the published extraction rules differ, with some of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.report import rules_compared
from raydistill.report.rules_compared import Difference
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content
from raydistill.report.sections.examples import Question, questions_by_id

LISTED = 4
"""Answers shown for each who answers."""


class Count(NamedTuple):
    """On how many answers the rules differ."""

    answered_by: str
    differences: int
    answers: int


class Listed(NamedTuple):
    """An answer on which the rules differ."""

    answered_by: str
    question: Question
    difference: Difference


@dataclass(frozen=True, kw_only=True)
class ExtractionRules(Content):
    """See extraction_rules.html."""

    counts: Sequence[Count]
    listed: Sequence[Listed]
    teacher_rules: str
    """What the teacher's answers count by: robust or published."""


def build(run: RunReport) -> ExtractionRules | None:
    """Compare the rules on the teacher's answers and on the students'."""
    by_teacher = rules_compared.in_samples(run["zero_shot"], run["few_shot"])
    by_students = rules_compared.in_predictions(run["predictions"])
    counts = []
    differing: list[tuple[str, Difference]] = []
    for answered_by, compared in (("teacher", by_teacher), ("student", by_students)):
        if compared.answers:
            counts.append(Count(answered_by, len(compared.differences), compared.answers))
            differing += [(answered_by, difference) for difference in compared.differences[:LISTED]]
    if not counts:
        return None
    ids = [difference.question_id for _, difference in differing]
    questions = questions_by_id(run, ids)
    listed = []
    for answered_by, difference in differing:
        unknown = Question(difference.question_id, "", "")
        listed.append(Listed(answered_by, questions.get(difference.question_id, unknown), difference))
    return ExtractionRules(counts=counts, listed=listed, teacher_rules=run.settings.teacher.extraction)

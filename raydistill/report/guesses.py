"""What guessing gives: the level that an accuracy must be read against."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import pyarrow as pa

from raydistill.method.answer_types import ANSWER_TYPES
from raydistill.report import records


class Guess(NamedTuple):
    """Accuracies (0 … 1) of two ways to answer without reading the question."""

    chance: float
    """Each option as often as the others."""
    majority: float | None
    """Always the commonest answer of the task's train questions (of equally common ones the first in the alphabet);
    None without train questions."""
    answer: str
    """That answer."""


@dataclass(frozen=True)
class _Question:
    """Columns of QUESTIONS."""

    task: str
    split: str
    answer: str
    answer_type: str
    choices: list[str] | None


def guesses(questions: pa.Table) -> dict[tuple[str, str], Guess]:
    """Return what guessing gives by (task, split).

    Splits whose questions have no options to guess among are left out.
    """
    chances: dict[tuple[str, str], list[float]] = defaultdict(list)
    gold_answers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for question in records.read(questions, _Question):
        chance = ANSWER_TYPES[question.answer_type].chance(question.choices or ())
        if chance is not None:
            chances[question.task, question.split].append(chance)
            gold_answers[question.task, question.split][question.answer] += 1
    by_split = {}
    for (task, split), of_questions in chances.items():
        answer = _commonest(gold_answers.get((task, "train"), Counter()))
        gold = gold_answers[task, split]
        majority = gold[answer] / gold.total() if answer else None
        by_split[task, split] = Guess(fmean(of_questions), majority, answer)
    return by_split


def _commonest(answers: Counter[str]) -> str:
    """Return the commonest answer, of equally common ones the first in the alphabet; "" if there is none."""
    return min(answers, key=lambda answer: (-answers[answer], answer), default="")

"""How the text of each benchmark's file becomes questions, row by row as Ho et al. 2023 do it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from raydistill.method.answer_readers.options import letter
from raydistill.method.questions import Question, with_choices


def single_eq(text: str) -> list[Question]:
    """Read SingleEq: the gold answer is a float."""
    return [Question(row["sQuestion"], str(row["lSolutions"][0])) for row in json.loads(text)]


def addsub(text: str) -> list[Question]:
    """Read AddSub: the gold answer is stored as text."""
    return [Question(row["sQuestion"].strip(), row["lSolutions"][0]) for row in json.loads(text)]


def multiarith(text: str) -> list[Question]:
    """Read MultiArith: the gold answer is written as an integer."""
    return [Question(row["sQuestion"].strip(), str(int(row["lSolutions"][0]))) for row in json.loads(text)]


def svamp(text: str) -> list[Question]:
    """Read SVAMP: body and question are parted by one space."""
    questions = []
    for row in json.loads(text):
        question = f"{row['Body'].strip()} {row['Question'].strip()}"
        questions.append(Question(question, str(row["Answer"])))
    return questions


def date_understanding(text: str) -> list[Question]:
    """Read BIG-bench's dates; their options are shuffled, since the right one stands first in 364 of 369 rows."""
    import numpy as np

    rng = np.random.RandomState(0)  # one generator for the whole file
    questions = []
    for example in json.loads(text)["examples"]:
        slots = rng.permutation(len(example["target_scores"])).tolist()
        questions.append(_multiple_choice(example["input"], example["target_scores"], slots))
    return questions


def tracking_shuffled_objects(text: str) -> list[Question]:
    """Read BIG-bench's shuffled objects; their options stay in order."""
    questions = []
    for example in json.loads(text)["examples"]:
        slots = range(len(example["target_scores"]))
        questions.append(_multiple_choice(example["input"], example["target_scores"], slots))
    return questions


def examples(text: str) -> list[Question]:
    """Read a file whose examples hold question and answer (coin flips, last letters)."""
    return [Question(example["question"], example["answer"]) for example in json.loads(text)["examples"]]


def _multiple_choice(text: str, scores: Mapping[str, int], slots: Sequence[int]) -> Question:
    """Put option j of the file into slot `slots[j]`; options lose one trailing full stop, the right one scores 1."""
    choices = [""] * len(slots)
    gold = 0
    for slot, (option, score) in zip(slots, scores.items(), strict=True):
        choices[slot] = option.removesuffix(".")
        if score == 1:
            gold = slot
    return Question(with_choices(text, choices), letter(gold), tuple(choices))

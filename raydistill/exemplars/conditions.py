"""What a zero-shot sample must be to become an exemplar, and which conditions give way when a cluster has none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from raydistill.config import ExemplarSettings
from raydistill.method import answers, steps
from raydistill.method.prompts import THINK

WAIVED: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"lines", "full stop", "answer shown"}),
    frozenset({"lines", "full stop", "answer shown", "question length"}),
)
"""The ladder: conditions that relaxation_level 1, 2, 3 does without. An answer, right where the method wants it, always counts."""


def failures(
    question: Mapping[str, Any], sample: Mapping[str, Any] | None, settings: ExemplarSettings, *, must_be_right: bool
) -> dict[str, str]:
    """The conditions that a question and its zero-shot sample fail, as {condition: reason}; {} makes an exemplar.

    Auto-CoT's rules (Zhang et al. 2022; lines count with "Let's think step by step." before them) and, with
    `must_be_right`, the heuristic correction of Li et al. 2024: the teacher's answer equals the gold answer.
    `settings.conditions` "auto_cot" follows its code to the letter, "well_formed" sees decimal answers too, and
    "correct_only" leaves its rules out; but an exemplar without an answer is never any good.

    Args:
        question: a row of QUESTIONS.
        sample: its row of SAMPLES; None where the teacher was not asked.
    """
    if sample is None or sample["error"]:
        return {"answer": "the teacher's call failed" if sample else "the teacher was not asked"}
    prediction, rationale = sample["prediction"], sample["rationale"]
    if not prediction:
        return {"answer": "no answer"}
    failed = {}
    if must_be_right and not sample["correct"]:
        failed["correct"] = f"wrong answer: {prediction}, not {question['answer']}"
    if not exemplar_rationale(rationale):
        failed["rationale"] = "no rationale beside the answer"
    if settings.check_steps:
        kind = {"answer_type": question["answer_type"], "choices": question["choices"] or ()}
        if reason := steps.check(rationale, question=question["question"], prediction=prediction, **kind):
            failed["steps"] = reason
    if settings.conditions == "correct_only":
        return failed
    opening = THINK if rationale[:1].isspace() else f"{THINK} "  # chat answers lack a completion's leading space
    text = (opening + rationale).strip().replace("\n\n", "\n")
    words = len(f"Q: {question['question']}\nA:".split())
    most_words = settings.max_question_words or (120 if question["task"] == "tracking_shuffled_objects" else 60)
    if words > most_words:
        failed["question length"] = f"question of {words} words (at most {most_words})"
    lines = text.count("\n") + 1
    most_lines = 7 if question["task"] == "last_letter_concatenation" else 5
    if lines > most_lines:
        failed["lines"] = f"rationale of {lines} lines (at most {most_lines})"
    if not text.endswith("."):
        failed["full stop"] = "rationale does not end with a full stop"
    # Auto-CoT cuts at every point: of "So two cost $14.02." only "02" is left to find the answer in.
    pieces = re.split(r"\." if settings.conditions == "auto_cot" else r"\.(?!\d)", text)
    shown = len(pieces) > 1 and prediction in pieces[-2]
    if question["answer_type"] == "number" and not shown and prediction not in text.split()[-10:]:
        failed["answer shown"] = f"answer {prediction} is not in the last sentence"
    return failed


def exemplar_rationale(rationale: str) -> str:
    """One line, single spaces, without a closing answer sentence (the exemplar block adds its own)."""
    text = answers.clean_rationale(rationale).removeprefix(THINK)
    return " ".join(text.split())


@lru_cache(maxsize=65_536)
def normalised(question: str) -> str:
    """For "the same question": letters without case, and no white space (some sets write "Sara 's")."""
    return "".join(question.casefold().split())

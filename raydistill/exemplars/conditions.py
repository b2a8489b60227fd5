"""What a zero-shot sample must be to become an exemplar, and which conditions are relaxed if a cluster has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from raydistill.config import ExemplarSettings
from raydistill.method import answers, steps
from raydistill.method.benchmarks import exemplar_limits
from raydistill.method.prompts import THINK
from raydistill.tables import Row

RELAXATION_LEVELS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"lines", "full stop", "answer shown"}),
    frozenset({"lines", "full stop", "answer shown", "question length"}),
)
"""The conditions that relaxation level 1, 2, 3 does without.

An answer always counts, and its correctness if the method wants it.
"""

_SENTENCE_POINT = re.compile(r"\.(?!\d)")
_ANY_POINT = re.compile(r"\.")


def failures(question: Row, sample: Row | None, settings: ExemplarSettings, *, must_be_right: bool) -> dict[str, str]:
    """Return the conditions that a question and its zero-shot sample fail; {} makes an exemplar.

    Auto-CoT's rules (Zhang et al. 2022; lines count with "Let's think step by step." before them) and, with
    `must_be_right`, the heuristic correction of Li et al. 2024: the teacher's answer equals the gold answer.
    `settings.conditions` "auto_cot" follows its code to the letter, "well_formed" sees decimal answers too, and
    "correct_only" leaves its rules out; but an exemplar without an answer is never any good.

    Args:
        question: a row of QUESTIONS.
        sample: its row of SAMPLES; None if the teacher was not prompted with it.
        settings: which conditions count.
        must_be_right: False for a method whose exemplars may have any answer.

    Returns:
        {condition: reason}, in the order in which the conditions are looked at.
    """
    if sample is None:
        return {"answer": "the teacher was not asked"}
    if sample["error"]:
        return {"answer": "the teacher's call failed"}
    if not sample["prediction"]:
        return {"answer": "no answer"}
    failed = dict(_content_failures(question, sample, settings, must_be_right))
    if settings.conditions != "correct_only":
        failed.update(_form_failures(question, sample, settings))
    return failed


def exemplar_rationale(rationale: str) -> str:
    """Return one line with single spaces, without a closing answer sentence (the exemplar block adds its own)."""
    text = answers.clean_rationale(rationale).removeprefix(THINK)
    return " ".join(text.split())


@lru_cache(maxsize=65_536)
def normalised(question: str) -> str:
    """Return what "the same question" has in common: letters without case or white space (some sets: "Sara 's")."""
    return "".join(question.casefold().split())


def _content_failures(
    question: Row, sample: Row, settings: ExemplarSettings, must_be_right: bool
) -> Iterator[tuple[str, str]]:
    """Yield the failed conditions about what a sample says."""
    prediction = sample["prediction"]
    if must_be_right and not sample["correct"]:
        yield "correct", f"wrong answer: {prediction}, not {question['answer']}"
    if not exemplar_rationale(sample["rationale"]):
        yield "rationale", "no rationale beside the answer"
    if settings.check_steps:
        fault = steps.check(
            sample["rationale"],
            question=question["question"],
            prediction=prediction,
            answer_type=question["answer_type"],
            choices=question["choices"] or (),
        )
        if fault:
            yield "steps", str(fault)


def _form_failures(question: Row, sample: Row, settings: ExemplarSettings) -> Iterator[tuple[str, str]]:
    """Yield the failed conditions about length and form (Auto-CoT)."""
    limits = exemplar_limits(question["task"])
    text = _shown_rationale(sample["rationale"])
    words = len(f"Q: {question['question']}\nA:".split())
    most_words = settings.max_question_words or limits.question_words
    if words > most_words:
        yield "question length", f"question of {words} words (at most {most_words})"
    lines = text.count("\n") + 1
    if lines > limits.rationale_lines:
        yield "lines", f"rationale of {lines} lines (at most {limits.rationale_lines})"
    if not text.endswith("."):
        yield "full stop", "rationale does not end with a full stop"
    # Auto-CoT cuts at every point: of "So two cost $14.02." only "02" is left to find the answer in.
    point = _ANY_POINT if settings.conditions == "auto_cot" else _SENTENCE_POINT
    if question["answer_type"] == "number" and not _shows_answer(text, sample["prediction"], point):
        yield "answer shown", f"answer {sample['prediction']} is not in the last sentence"


def _shown_rationale(rationale: str) -> str:
    """Return a rationale with "Let's think step by step." before it, double line breaks made single."""
    # Chat answers lack a completion's leading space.
    space = "" if rationale[:1].isspace() else " "
    return f"{THINK}{space}{rationale}".strip().replace("\n\n", "\n")


def _shows_answer(text: str, prediction: str, point: re.Pattern[str]) -> bool:
    """Return True if the answer stands in the last sentence or is one of the last ten words."""
    sentences = point.split(text)
    in_last_sentence = len(sentences) > 1 and prediction in sentences[-2]
    return in_last_sentence or prediction in text.split()[-10:]

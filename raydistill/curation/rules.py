"""The rules of curation: each is one function that says why a sample is dropped; a further rule is added here alone.

A rule of `SAMPLE_RULES` looks at one sample. A rule of `QUESTION_RULES` compares the samples of one question that are
still kept. They are asked in the order of the lists, and the first objection counts. A rule that can be switched off
reads its setting from `CurationSettings`. The report shows codes in the words of `report/labels.py`, and a code
without words as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from raydistill.config import CurationSettings
from raydistill.curation.candidates import Candidate
from raydistill.curation.diversity import most_different
from raydistill.method import steps

LONGEST_REPLY = 120
"""Characters of the LLM judge's reply that a reason quotes."""


class Drop(NamedTuple):
    """Why a sample is not kept, as in tables.TRAINING."""

    reason: str
    """A code."""
    detail: str = ""
    """The particulars, as free text."""


def failed(candidate: Candidate, settings: CurationSettings) -> Drop | None:
    """Drop a sample whose request failed."""
    sample = candidate.sample
    if sample.error or sample.error_kind:
        return Drop("failed", sample.error_kind or sample.error)
    return None


def no_answer(candidate: Candidate, settings: CurationSettings) -> Drop | None:
    """Drop a sample in which no answer was found."""
    if candidate.sample.prediction is None:
        return Drop("no_answer")
    return None


def wrong_answer(candidate: Candidate, settings: CurationSettings) -> Drop | None:
    """Drop a sample whose answer is not the gold answer (Ho et al. 2023, section 3)."""
    if candidate.sample.correct:
        return None
    return Drop("wrong_answer", candidate.sample.prediction or "")


def empty_rationale(candidate: Candidate, settings: CurationSettings) -> Drop | None:
    """Drop a sample of which no text is left to train on."""
    if candidate.rationale:
        return None
    return Drop("empty_rationale")


# A kind of `method.steps.StepFault`, and the code that stands for it.
_STEP_REASONS = {
    "step": "step_does_not_hold",
    "contradiction": "contradicts_answer",
    "unreached": "does_not_reach_answer",
}


def unsound_steps(candidate: Candidate, settings: CurationSettings) -> Drop | None:
    """Drop a sample with a step that does not hold (`check_steps`); its whole text is checked, not the cleaned one."""
    if not settings.check_steps:
        return None
    question = candidate.question
    fault = steps.check(
        candidate.sample.rationale,
        question=question.question,
        prediction=candidate.sample.prediction,
        answer_type=question.answer_type,
        choices=question.choices,
    )
    if fault is None:
        return None
    return Drop(_STEP_REASONS[fault.kind], fault.detail)


def rejected_by_llm_judge(candidate: Candidate, settings: CurationSettings) -> Drop | None:
    """Drop a sample that the LLM judge calls wrong or, with `llm_judge_strict`, does not call right."""
    if candidate.verdict is None:
        return None
    rejecting = ["no"]
    if settings.llm_judge_strict:
        rejecting += ["unclear", "unjudged", "failed"]
    if candidate.verdict.verdict not in rejecting:
        return None
    return Drop("llm_judge", _shortened(candidate.verdict.reply) or candidate.verdict.verdict)


def _shortened(reply: str) -> str:
    """One line of a reply, without the next question that a completion model goes on to invent."""
    text = " ".join(reply.split("\nQ:")[0].split())
    if len(text) <= LONGEST_REPLY:
        return text
    return text[: LONGEST_REPLY - 3] + "…"


def repeated(candidates: Sequence[Candidate], settings: CurationSettings) -> dict[int, Drop]:
    """Drop all but the first of rationales that differ in white space at most (`drop_duplicates`)."""
    if not settings.drop_duplicates:
        return {}
    first_index: dict[str, int] = {}
    drops = {}
    for place, candidate in enumerate(candidates):
        text = " ".join(candidate.rationale.split())
        if text in first_index:
            drops[place] = Drop("repeated", f"sample {first_index[text]}")
        else:
            first_index[text] = candidate.sample.sample_index
    return drops


def too_similar(candidates: Sequence[Candidate], settings: CurationSettings) -> dict[int, Drop]:
    """Drop all but the `keep_most_different` rationales that differ most."""
    number = settings.keep_most_different
    if not number or len(candidates) <= number:
        return {}
    _, nearest = most_different([candidate.rationale for candidate in candidates], number)
    drops = {}
    for place, (other, similarity) in nearest.items():
        drops[place] = Drop("too_similar", f"sample {candidates[other].sample.sample_index}: {similarity:.2f}")
    return drops


SampleRule = Callable[[Candidate, CurationSettings], Drop | None]
QuestionRule = Callable[[Sequence[Candidate], CurationSettings], dict[int, Drop]]

SAMPLE_RULES: tuple[SampleRule, ...] = (
    failed,
    no_answer,
    wrong_answer,
    empty_rationale,
    unsound_steps,
    rejected_by_llm_judge,
)
QUESTION_RULES: tuple[QuestionRule, ...] = (repeated, too_similar)
"""Each returns the places (in what it was given) of the samples to drop."""

"""Rows of SAMPLES: what became of one sample of one question, what it cost, why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from raydistill.method import answers
from raydistill.method.answers import ExtractionRules
from raydistill.teacher.calls.stored_samples import Sample
from raydistill.teacher.prompt_row import PromptRow

NOT_ASKED = ("budget", "stopped", "pending")  # the error_kind of rows that have not failed: the next command asks them


class SampleRow(NamedTuple):
    """Columns as in tables.SAMPLES."""

    question_id: str
    task: str
    split: str
    method: str
    degree: int
    sample_index: int
    teacher: str
    request_key: str
    rationale: str = ""
    answer_text: str = ""
    prediction: str | None = None
    correct: bool = False
    robust_prediction: str | None = None
    robust_correct: bool = False
    published_prediction: str | None = None
    published_correct: bool = False
    answered_by: str = "none"
    finish_reason: str = ""
    calls: int = 0
    attempts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    error_kind: str = ""
    error: str = ""


class Call(NamedTuple):
    """A call that a row rests on."""

    kind: str
    """rationale, answer or judgement."""
    sample: Sample
    """What came of it."""


class Outcome(NamedTuple):
    """A row of SAMPLES and the calls that it rests on."""

    row: SampleRow
    calls: list[Call]


class Verdict(NamedTuple):
    """What one set of extraction rules makes of an answer text."""

    prediction: str | None
    correct: bool


def blank(prompt: PromptRow, index: int, key: str, teacher: str) -> SampleRow:
    """Return the row of sample `index` before any call; `key` is the journal key of its first one."""
    return SampleRow(
        question_id=prompt.question_id,
        task=prompt.task,
        split=prompt.split,
        method=prompt.method,
        degree=prompt.degree,
        sample_index=index,
        teacher=teacher,
        request_key=key,
    )


def finished(row: SampleRow, calls: list[Call]) -> Outcome:
    """Return the row with what its calls cost; if the last of them failed, with its error."""
    row = _with_costs(row, calls)
    error = calls[-1].sample.error
    if error is not None:
        row = row._replace(error_kind=error.kind, error=error.message)
    return Outcome(row, calls)


def with_answer(
    row: SampleRow,
    prompt: PromptRow,
    text: str,
    *,
    answered_by: str,
    extraction: ExtractionRules,
    in_rationale: str | None = None,
) -> SampleRow:
    """Return the row with the answer that is read out of `text`, by both sets of extraction rules.

    Args:
        row: the row so far.
        prompt: its question.
        text: the answer text.
        answered_by: rationale or answer_call.
        extraction: the rules that decide `prediction` and `correct`.
        in_rationale: the robust rules' answer, if it was found while the rationale was read.
    """
    robust = _verdict(prompt, text, "robust", in_rationale)
    published = _verdict(prompt, text, "published")
    decisive = robust if extraction == "robust" else published
    return row._replace(
        answer_text=text,
        prediction=decisive.prediction,
        correct=decisive.correct,
        robust_prediction=robust.prediction,
        robust_correct=robust.correct,
        published_prediction=published.prediction,
        published_correct=published.correct,
        answered_by="none" if decisive.prediction is None else answered_by,
    )


def _verdict(prompt: PromptRow, text: str, rules: ExtractionRules, prediction: str | None = None) -> Verdict:
    if prediction is None:
        prediction = answers.extract(
            text, answer_type=prompt.answer_type, choices=prompt.choices, rules=rules, task=prompt.task
        )
    is_correct = answers.is_correct(
        prediction, prompt.answer, answer_type=prompt.answer_type, rules=rules, task=prompt.task
    )
    return Verdict(prediction, is_correct)


def _with_costs(row: SampleRow, calls: Sequence[Call]) -> SampleRow:
    """Add up the calls. A response for n samples counts for its first: the others have 0 prompt tokens and dollars."""
    cost_usd: float | None = 0.0
    for _, sample in calls:
        if sample.error is not None:
            row = row._replace(attempts=row.attempts + sample.error.attempts)
        answer = sample.answer
        if answer is None:
            continue
        is_first = answer.key == answer.response
        row = row._replace(
            calls=row.calls + is_first,
            attempts=row.attempts + answer.attempts,
            prompt_tokens=row.prompt_tokens + answer.prompt_tokens,
            cached_tokens=row.cached_tokens + answer.cached_tokens,
            completion_tokens=row.completion_tokens + answer.completion_tokens,
        )
        if cost_usd is None or answer.usd is None:
            cost_usd = None
        else:
            cost_usd += answer.usd
    return row._replace(cost_usd=cost_usd)

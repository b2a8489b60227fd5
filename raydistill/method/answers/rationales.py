"""The answer that a rationale already holds, so that no answer call is needed, and the rationale without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from raydistill.method.answer_readers.answer_sentences import (
    AnswerSentence,
    answer_sentences,
    clause_begin,
    sentence_end,
    without_run_on,
)
from raydistill.method.answer_readers.plain_text import single_answer
from raydistill.method.answer_types import ANSWER_TYPES, AnswerType


class AnswerInRationale(NamedTuple):
    """An answer found in a rationale."""

    answer: str
    """The answer, canonical."""
    answer_text: str
    """What it was read from: the text behind "the answer is"."""
    rationale: str
    """The completion without the answer sentence and without an invented next question."""


def find_in_rationale(
    text: str, *, answer_type: str, choices: Sequence[str] = (), finish_reason: str = "stop"
) -> AnswerInRationale | None:
    """Find the answer in a rationale, so that the answer call can be saved (adaptive answers, Li et al. 2024, 2.3).

    Only an explicit answer sentence counts, with exactly one answer, not contradicted by an earlier one, and not
    possibly cut off by the token limit. A bare last number would be wrong every fifth time.

    Args:
        text: the completion.
        answer_type: a name of `ANSWER_TYPES`.
        choices: option texts of a letter question in order A, B, ….
        finish_reason: why the completion ended; "length" if the token limit cut it off.
    """
    record = ANSWER_TYPES[answer_type]
    body = without_run_on(text)
    sentences = answer_sentences(body)
    if not sentences:
        return None
    last = sentences[-1]
    answer_text = last.answer(body)
    answer = single_answer(answer_text, record.read, choices, strict=True)
    if answer is None or _contradicted(answer, body, sentences[:-1], record, choices):
        return None
    may_be_cut = finish_reason == "length" and last.end == len(text)
    if may_be_cut and _depends_on_last_word(answer, answer_text, record, choices):
        return None
    reasoning = _as_sentence(body[: clause_begin(body, last.begin)])
    rest = body[sentence_end(body, last.start, len(body)) :].strip(" \t*_`")
    return AnswerInRationale(answer, answer_text.strip(), clean_rationale(f"{reasoning} {rest}"))


def clean_rationale(text: str) -> str:
    """Return the reasoning alone: cut at an invented next "Q:" or "END", without closing answer sentences, stripped."""
    text = without_run_on(text).strip()
    end = len(text)
    for sentence in reversed(answer_sentences(text)):
        is_last_sentence = sentence_end(text, sentence.start, end) >= end
        if not is_last_sentence:
            break
        end = clause_begin(text, sentence.begin)
    return text if end == len(text) else _as_sentence(text[:end])


def _contradicted(
    answer: str, body: str, sentences: Sequence[AnswerSentence], record: AnswerType, choices: Sequence[str]
) -> bool:
    """Return True if one of `sentences` names another answer."""
    answer_texts = {sentence.answer(body) for sentence in sentences}
    for answer_text in answer_texts:
        other = single_answer(answer_text, record.read, choices, strict=True)
        if other is not None and not record.same(other, answer):
            return True
    return False


def _depends_on_last_word(answer: str, answer_text: str, record: AnswerType, choices: Sequence[str]) -> bool:
    """Return True if `answer_text` ends within a word without which it names another answer or none."""
    if answer_text[-1:] in (" ", "."):
        return False
    words = answer_text.rsplit(None, 1)
    whole_words = words[0] if len(words) > 1 else ""
    return single_answer(whole_words, record.read, choices, strict=True) != answer


def _as_sentence(text: str) -> str:
    """Return `text` with a full stop, after its end was cut off."""
    text = text.strip()
    if text.endswith((",", ";", ":")):
        return text[:-1].rstrip() + "."
    if text and text[-1].isalnum():
        return text + "."
    return text

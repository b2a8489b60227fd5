"""What a student reads and writes, as text.

Templates of Ho et al. 2023 (Fine-tune-CoT): a decoder continues "{question} ###" with " {rationale} --> {answer}"; an
encoder-decoder maps "{question}" to "{rationale} --> {answer}". Students trained on answers alone leave the rationale
and the marker out; untrained ones get the plain zero-shot prompt.
"""

from __future__ import annotations

from raydistill.method.methods import METHODS

ANSWER_MARKER = "-->"
"""Stands between rationale and answer."""


def prompt(question: str, *, seq2seq: bool, trained: bool = True) -> str:
    """Return the text that a student is given; `trained` False: the zero-shot baseline of a student as it comes."""
    question = question.strip()
    if not trained:
        return f"question: {question}" if seq2seq else f"Q: {question}\n\nA:"
    return question if seq2seq else f"{question} ###"


def target(rationale: str, answer: str, *, seq2seq: bool, answer_only: bool) -> str:
    """Return the text that a student is taught to write: the answer alone, or the rationale and the answer."""
    if answer_only:
        text = answer.strip()
    else:
        text = f"{rationale.strip()} {ANSWER_MARKER} {answer.strip()}"
    return text if seq2seq else f" {text}"


def answer_marker(method: str) -> str:
    """Return the marker before the answer in the text of a student of `method`; "" if its whole text is the answer."""
    return ANSWER_MARKER if METHODS[method].target == "rationale" else ""

"""What all readers of answers share: text without typography, sentences, and the one answer of a text.

All functions take any text, never raise on it and work in linear time: expressions have no nested repetition, and at
most `LONGEST_ANSWER` characters of an answer are read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal

LONGEST_ANSWER = 2_000
"""Characters of an answer that the robust rules read (NFC is quadratic on runs of combining marks)."""

SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+|\n")
"""The white space between two sentences."""

SENTENCE_END = re.compile(r"[.!?][\"'”’)\]*_`$]*(?=\s+[^\W\d_a-z]|\s*$)|\n")
"""The punctuation that ends a sentence: no lower-case word follows it."""

_DASH_BEFORE_NUMBER = re.compile(r"[\u2010-\u2015\u2212\ufe63\uff0d](?=[\d.$])")
_LATEX_FRACTION = re.compile(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}")
_LATEX_BOX = re.compile(r"\\(?:boxed|text|textbf|mathrm)\{([^{}]*)\}")
_MARKDOWN = re.compile(r"[*_`]{2,}|(?<!\w)[*_`]|[*_`](?!\w)")
_CURRENCY = re.compile(r"[$€£¥]")
_WORD = re.compile(r"[^\W\d_]{2}")

Reader = Callable[[str, Sequence[str]], list[str]]
"""Reads the distinct answers that a plain text names, canonical; the options of a question come second."""


def plain(text: str) -> str:
    """Return an answer text without typography: NFC, plain minus, no markdown, currency signs or LaTeX boxes."""
    text = unicodedata.normalize("NFC", text[:LONGEST_ANSWER])
    text = _DASH_BEFORE_NUMBER.sub("-", text)
    text = _LATEX_FRACTION.sub(r" \1/\2", text)
    for _ in range(2):  # \boxed{\text{B}}
        text = _LATEX_BOX.sub(r"\1", text)
    text = _MARKDOWN.sub("", text)
    return _CURRENCY.sub("", text).strip()


def single_answer(text: str, read: Reader, choices: Sequence[str], *, strict: bool) -> str | None:
    """Return the one answer that `text` names, or None.

    Not `strict`: if it names several, the one of its first sentence counts, which the others explain ("8. He …").
    """
    text = plain(text)
    answers = read(text, choices)
    if len(answers) > 1 and not strict:
        first, *others = SENTENCE_BREAK.split(text, maxsplit=1)
        if others and _WORD.search(others[0]):
            answers = read(first, choices)
    return answers[0] if len(answers) == 1 else None


def same_ignoring_case(canonical: Callable[[str], str]) -> Callable[[str, str], bool]:
    """Return a comparison of two answers in `canonical` form that ignores case."""

    def same(prediction: str, gold: str) -> bool:
        return canonical(prediction).casefold() == canonical(gold).casefold()

    return same


def distinct(values: Iterable[str], key: Callable[[str], Hashable] = str) -> list[str]:
    """Return `values` in order, only the first of those that have the same `key`."""
    first: dict[Hashable, str] = {}
    for value in values:
        first.setdefault(key(value), value)
    return list(first.values())


def scalar_text(value: object) -> str | None:
    """Return a value of a question file as stripped text; None if it is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    return str(value).strip()

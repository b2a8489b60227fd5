"""Sentences of a rationale and the names in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

CONCLUDES = re.compile(
    r"\b(?:so(?! now\b)|therefore|thus|hence|end(?! of (?:this|the) (?:step|swap|trade))|ends|finally|final|result"
    r"|after (?:all|every\w*))\b",
    re.IGNORECASE,
)
"""What a sentence about the end of a story has."""

_SENTENCE_BREAK = re.compile(r"(?<=[.!?;])[\s\"”')]+|\n+")
_LONGEST_QUOTE = 80


def sentences(text: str) -> list[str]:
    """Return the sentences of `text` that are not blank."""
    return [sentence for sentence in _SENTENCE_BREAK.split(text) if sentence.strip()]


def parts_by_name(sentence: str, names: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, text up to the next name); what stands before the first name comes with the name ""."""
    start = 0
    name = ""
    for match in names.finditer(sentence):
        yield name, sentence[start : match.start()]
        start = match.end()
        name = match[0]
    yield name, sentence[start:]


def any_of(words: Sequence[str]) -> str:
    """Return a pattern for one of `words` as a whole word; longer ones are tried first."""
    longest_first = sorted(set(words), key=len, reverse=True)
    alternatives = "|".join(re.escape(word) for word in longest_first)
    return rf"(?<!\w)(?:{alternatives})(?!\w)"


def shorten(text: str) -> str:
    """Return `text` on one line, without outer punctuation, at most 80 characters long."""
    text = " ".join(text.split()).strip(" ,.;:")
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "…"

"""Words: yes or no, one word of letters ("n-a-e-y"), or the first sentence of a text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from raydistill.method.answer_readers.plain_text import SENTENCE_END, same_ignoring_case, scalar_text, single_answer

_EITHER = re.compile(r"\b(?:yes ?(?:or|/) ?no|no ?(?:or|/) ?yes)\b", re.IGNORECASE)
_YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)

_QUOTED = re.compile(r"(?<!\w)[\"'“‘«]([^\"'“”‘’«»\n]+)[\"'”’»]")
_SPELLED = re.compile(r"[\W_]*([^\W\d_](?:[\s,./-]+[^\W\d_])+)(?!\w)")

_ABBREVIATION = re.compile(
    r"\b(?:\w|mrs?|ms|dr|st|mt|ft|jr|sr|vs|prof|gen|col|sgt|rev|capt|gov|sen|rep|hon|inc|ltd|co|corp|bros|vol)\.$", re.I
)
_LONGEST_ABBREVIATION = 8
_OUTER_PUNCTUATION = " .:;,!?\"'“”‘’"


def read_yes_no(text: str, choices: Sequence[str] = ()) -> list[str]:
    """Return the first yes or no, since "Yes, it is no longer …" is a yes; "either yes or no" is neither."""
    match = _YES_OR_NO.search(_EITHER.sub("", text))
    return [match[1].lower()] if match else []


def canonical_yes_no(answer: str) -> str:
    """Return "Yes." as "yes"; what is neither comes back stripped."""
    return single_answer(answer, read_yes_no, (), strict=True) or answer.strip()


same_yes_no = same_ignoring_case(canonical_yes_no)


def parse_gold_yes_no(value: object, choices: Sequence[str] = ()) -> str | None:
    """Return a gold answer as yes or no; true and false will do as well."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = (scalar_text(value) or "").lower()
    return text if text in ("yes", "no") else None


def chance_yes_no(choices: Sequence[str] = ()) -> float | None:
    """Return how often a guess is right, 0 … 1."""
    return 1 / 2


def read_letters(text: str, choices: Sequence[str] = ()) -> list[str]:
    """Return one word of letters: the quoted one, else one that is spelled out, else the first."""
    match = _QUOTED.search(text) or _SPELLED.match(text)
    tokens = [match[1]] if match else text.split()
    for token in tokens:
        word = "".join(filter(str.isalpha, token))
        if word:
            return [word]
    return []


def canonical_letters(answer: str) -> str:
    """Return "n-a-e-y" as "naey"; what has no letters comes back stripped."""
    return single_answer(answer, read_letters, (), strict=True) or answer.strip()


same_letters = same_ignoring_case(canonical_letters)


def parse_gold_letters(value: object, choices: Sequence[str] = ()) -> str | None:
    """Return a gold answer that consists of letters alone, as it is."""
    text = scalar_text(value) or ""
    return text if text.isalpha() else None


def read_text(text: str, choices: Sequence[str] = ()) -> list[str]:
    """Return the first sentence with words: "Paris. It is the capital." answers Paris, "St. Louis." St. Louis."""
    for line in text.splitlines():
        line = " ".join(line.split())
        sentence = line[: _first_sentence_end(line)].strip(_OUTER_PUNCTUATION)
        if sentence:
            return [sentence]
    return []


def canonical_text(answer: str) -> str:
    """Return the first sentence with words, or ""."""
    sentences = read_text(answer)
    return sentences[0] if sentences else ""


same_text = same_ignoring_case(canonical_text)


def parse_gold_text(value: object, choices: Sequence[str] = ()) -> str | None:
    """Return a gold answer that has words, as it is."""
    text = scalar_text(value)
    return text if text is not None and read_text(text) else None


def _first_sentence_end(line: str) -> int:
    for match in SENTENCE_END.finditer(line):
        end = match.end()
        if not _ABBREVIATION.search(line, max(0, end - _LONGEST_ABBREVIATION), end):
            return end
    return len(line)

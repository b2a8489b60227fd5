"""Options of a multiple-choice question: a letter ("(B)", "b"), or the text of one option."""

from __future__ import annotations

import re
from collections.abc import Sequence

from raydistill.method.answer_readers.plain_text import distinct, same_ignoring_case, scalar_text

MOST_OPTIONS = 26

_IN_BRACKETS = re.compile(r"\(([A-Za-z])\)")
# A capital alone, not the article or the pronoun ("A blue ball", "I think").
_CAPITAL_ALONE = re.compile(r"(?<![\w'’])(?![AI]\s+[a-z])([A-Z])(?![\w'’])")
_LETTER = re.compile("[A-Za-z]")

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_ANY_MONTH = "|".join(_MONTHS)
_NUMERIC_DATE = re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4})\b", re.ASCII)
_WORD_DATE = re.compile(rf"\b({_ANY_MONTH})[a-z]*\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})\b", re.ASCII)


def letter(index: int) -> str:
    """Return the letter of an option: "A" for 0."""
    return chr(ord("A") + index)


def read(text: str, choices: Sequence[str]) -> list[str]:
    """Return the distinct letters that `text` names: in brackets, else standing alone, else by an option's text."""
    options = min(len(choices) or MOST_OPTIONS, MOST_OPTIONS)
    last = letter(options - 1)
    in_brackets = [name.upper() for name in _IN_BRACKETS.findall(text)]
    for letters in (in_brackets, _CAPITAL_ALONE.findall(text)):
        valid = [name for name in letters if name <= last]
        if valid:
            return distinct(valid)
    return _letters_of_texts(text, choices)


def canonical(answer: str) -> str:
    """Return "(b)" as "B"; what is no letter comes back stripped."""
    bare = answer.strip(" ().")
    return bare.upper() if _LETTER.fullmatch(bare) else answer.strip()


same = same_ignoring_case(canonical)


def parse_gold(value: object, choices: Sequence[str]) -> str | None:
    """Return the letter that a gold answer is or whose option it spells out; None if there is no such option."""
    text = scalar_text(value)
    if text is None:
        return None
    if text in choices:
        return letter(choices.index(text))
    name = canonical(text)
    last = letter(len(choices) - 1)
    return name if len(name) == 1 and "A" <= name <= last else None


def chance(choices: Sequence[str]) -> float | None:
    """Return how often a guess is right, 0 … 1."""
    return 1 / len(choices) if choices else None


def _letters_of_texts(text: str, choices: Sequence[str]) -> list[str]:
    """Return the letters of the options whose text stands in `text`."""
    text = _comparable(text)
    mentioned: dict[int, str] = {}
    for index, choice in enumerate(choices):
        option = _comparable(choice)
        if option and _has_words(text, option):
            mentioned[index] = option
    letters = []
    for index, option in mentioned.items():
        # "ball" is no answer of its own inside "blue ball".
        inside_another = any(option != other and option in other for other in mentioned.values())
        if not inside_another:
            letters.append(letter(index))
    return letters


def _comparable(text: str) -> str:
    """Return lower case, single spaces, dates as MM/DD/YYYY (month first, never guessed otherwise)."""
    text = " ".join(text.lower().split())
    text = _WORD_DATE.sub(_word_date, text)
    return _NUMERIC_DATE.sub(_numeric_date, text).strip(" .")


def _word_date(match: re.Match[str]) -> str:
    month = _MONTHS.index(match[1]) + 1
    return f"{month:02}/{int(match[2]):02}/{match[3]}"


def _numeric_date(match: re.Match[str]) -> str:
    return f"{int(match[1]):02}/{int(match[2]):02}/{match[3]}"


def _has_words(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None

"""The options of multiple-choice questions: "Answer choices: (A) ..., (B) ..."."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPTION = re.compile(r"\(([A-Z])\)\s*(.+?)(?=,?\s*\([A-Z]\)|\.?\s*$)", re.S)


def parse_options(question: str) -> tuple[str, ...]:
    """Return the option texts of a question, empty if it has none."""
    _, heading, options = question.rpartition("hoices:")
    if not heading:
        return ()
    return tuple(text.strip(" .") for _, text in _OPTION.findall(options))


def letters(options: Sequence[str]) -> list[str]:
    """Return the letters of the options."""
    return [letter(index) for index in range(len(options))]


def letter(index: int) -> str:
    """Return the letter of the option at `index`: 0 is A."""
    return chr(ord("A") + index)


def option_text(options: Sequence[str], answer: str) -> str:
    """Return the text of the option with the letter `answer`; `answer` itself if there is no such option."""
    index = ord(answer[:1] or "?") - ord("A")
    return options[index] if 0 <= index < len(options) else answer


def letter_of(options: Sequence[str], thing: str) -> str | None:
    """Return the letter of the option that names `thing`, with or without its article."""
    bare_thing = _without_article(thing)
    for index, option in enumerate(options):
        if _without_article(option) == bare_thing:
            return letter(index)
    return None


def _without_article(thing: str) -> str:
    return thing.removeprefix("the ").lower()

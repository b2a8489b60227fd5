"""A question with its gold answer, and how options are written into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from raydistill.method.answer_readers.options import letter


class Question(NamedTuple):
    """A question before it becomes a table row."""

    text: str
    answer: str
    """Gold, as the benchmark prints it."""
    choices: tuple[str, ...] = ()
    """Option texts of a letter question, in order A, B, …."""


def with_choices(text: str, choices: Sequence[str]) -> str:
    """Return the question text with its options behind it, as Ho et al. 2023 write the BIG-bench tasks."""
    options = [f"({letter(index)}) {choice}" for index, choice in enumerate(choices)]
    return f"{text.strip()}\nWhich choice is true? Answer choices: {', '.join(options)}."

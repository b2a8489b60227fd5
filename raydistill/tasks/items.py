"""One question of a benchmark before it becomes a table row, and how option letters are written into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Item(NamedTuple):
    question: str
    answer: str
    """Gold, as the benchmark prints it."""
    choices: tuple[str, ...] = ()
    """Option texts of a letter question, in order A, B, …"""


def letter(index: int) -> str:
    """0 → "A"."""
    return chr(ord("A") + index)


def with_choices(text: str, choices: Sequence[str]) -> str:
    """The question text with its options behind it, as Ho et al. 2023 write the BIG-bench tasks."""
    options = ", ".join(f"({letter(i)}) {choice}" for i, choice in enumerate(choices))
    return f"{text.strip()}\nWhich choice is true? Answer choices: {options}."

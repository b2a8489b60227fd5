"""Tokens of a text that no tokenizer is at hand for."""

from __future__ import annotations

CHARACTERS_PER_TOKEN = 4  # of English text
MOST_PER_CHARACTER = 0.5  # tokens: twice as many as English has
MARGIN = 16  # tokens that an endpoint wraps a prompt in


def estimate(text: str) -> int:
    """Return about how many tokens `text` has."""
    return len(text) // CHARACTERS_PER_TOKEN + 1


def upper_bound(text: str, per_character: float = MOST_PER_CHARACTER) -> int:
    """Return more tokens than `text` is likely to have, to reserve a budget by."""
    return int(len(text) * per_character) + MARGIN

"""Tokens of the simulated teacher: four characters each, in prompts and completions alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

TOKEN_CHARS = 4


class Truncated(NamedTuple):
    """A completion after the stop sequences and the token limit, and why it ends."""

    text: str
    finish_reason: str


def count_tokens(text: str) -> int:
    """Return the number of tokens, the last one perhaps shorter."""
    return math.ceil(len(text) / TOKEN_CHARS)


def truncate(text: str, stop: Sequence[str], max_tokens: int) -> Truncated:
    """Cut a text before the first stop sequence and after `max_tokens`."""
    positions = [text.find(sequence) for sequence in stop if sequence]
    first_stop = min((position for position in positions if position >= 0), default=len(text))
    text = text[:first_stop]
    if count_tokens(text) > max_tokens:
        return Truncated(text[: max_tokens * TOKEN_CHARS], "length")
    return Truncated(text, "stop")

"""Tokens of a text that no tokenizer has counted: as expected, and at the most.

What a call may take is reserved before it is sent, so that figure must be too high rather than too low; estimates and
responses without usage take the expected one.
"""

from __future__ import annotations

EXPECTED_CHARS_PER_TOKEN = 4
"""Within 15 % for English prose."""
CAUTIOUS_CHARS_PER_TOKEN = 2
"""Fewer characters a token than any text of the method has."""
EXTRA_TOKENS = 16
"""Room for what an endpoint adds to a prompt (a chat template)."""
MARGIN = 1.1
"""What a prompt may exceed the highest ratio seen so far by."""


def expected_tokens(text: str) -> int:
    """Return how many tokens `text` probably has."""
    return len(text) // EXPECTED_CHARS_PER_TOKEN + 1


def most_prompt_tokens(prompt: str, highest_ratio: float = 0.0) -> int:
    """Return the most tokens that a prompt may count for.

    Args:
        prompt: its text.
        highest_ratio: most tokens a character that responses have stated so far; 0 before the first response.
    """
    ratio = highest_ratio * MARGIN if highest_ratio else 1 / CAUTIOUS_CHARS_PER_TOKEN
    return int(len(prompt) * ratio) + EXTRA_TOKENS

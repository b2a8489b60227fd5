"""Tokens of a text that no tokenizer has counted: as expected, and at the most.

What a call may take is reserved before it is sent, so that figure must be too high rather than too low. It follows what
replies state: how many tokens a character has, and how far completions go beyond their limit.
"""

from __future__ import annotations

from dataclasses import dataclass

EXPECTED_CHARS_PER_TOKEN = 4
"""Within 15 % for English prose."""
ASCII_TOKENS = 0.5
"""A character, until replies state it: twice what any English text of the method has."""
OTHER_TOKENS = 3.0
"""A character beyond ASCII, until replies state it: a byte-level tokenizer never makes more of one in UTF-8."""
OTHER_FRACTION = 0.25
"""Of a prompt's characters: from there on its tokens say something about those beyond ASCII."""
EXTRA_TOKENS = 16
"""Room for what an endpoint adds to a prompt (a chat template)."""
MARGIN = 1.1
"""What a call may exceed the highest ratio seen so far by."""


def expected_tokens(text: str) -> int:
    """Return how many tokens `text` probably has."""
    return len(text) // EXPECTED_CHARS_PER_TOKEN + 1


@dataclass
class TokenRatios:
    """The highest ratios that replies have stated so far; 0 before the first.

    Attributes:
        ascii: tokens a character, of prompts that are ASCII for the most part.
        other: tokens a character beyond ASCII.
        completion: completion tokens to what the request allowed; above 1 with a server that ignores the limit.
    """

    ascii: float = 0.0
    other: float = 0.0
    completion: float = 0.0

    def learn(self, prompt: str, prompt_tokens: int, completion_tokens: int, limit: int) -> None:
        """Take in what a reply stated.

        Args:
            prompt: the text that was sent.
            prompt_tokens: what the reply counts for it.
            completion_tokens: what it counts for all completions.
            limit: what they were allowed together.
        """
        ascii_count = _ascii_count(prompt)
        other_count = len(prompt) - ascii_count
        if other_count > OTHER_FRACTION * len(prompt):
            rest = prompt_tokens - ascii_count * (self.ascii or 1 / EXPECTED_CHARS_PER_TOKEN)
            self.other = max(self.other, rest / other_count)
        elif prompt:
            self.ascii = max(self.ascii, prompt_tokens / len(prompt))
        self.completion = max(self.completion, completion_tokens / max(1, limit))

    def take_in(self, others: TokenRatios) -> None:
        """Take in what another actor has seen."""
        self.ascii = max(self.ascii, others.ascii)
        self.other = max(self.other, others.other)
        self.completion = max(self.completion, others.completion)

    def most_prompt_tokens(self, prompt: str) -> int:
        """Return the most tokens that `prompt` may count for."""
        ascii_count = _ascii_count(prompt)
        other_count = len(prompt) - ascii_count
        ascii_ratio = self.ascii * MARGIN or ASCII_TOKENS
        other_ratio = self.other * MARGIN or OTHER_TOKENS
        return int(ascii_count * ascii_ratio + other_count * other_ratio) + EXTRA_TOKENS

    def most_completion_tokens(self, limit: int) -> int:
        """Return the most tokens that completions may count for that are allowed `limit` together."""
        if self.completion > 1:
            return int(limit * self.completion * MARGIN) + 1
        return limit


def _ascii_count(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text.encode("ascii", "ignore"))

"""A model's price at one time: USD per token, in tiers by the prompt's length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

BATCH_RATIO = 0.5
"""OpenAI's Batch API costs half, and so do others'."""


class Tier(NamedTuple):
    """USD per token, for all tokens of a call whose prompt is longer than `start` tokens."""

    start: int
    input: float
    cached_input: float
    output: float
    call: float = 0.0
    """USD of the call itself, beside its tokens."""

    def of(self, prompt_tokens: float, cached_tokens: float, completion_tokens: float) -> float:
        """Return the USD of a call in this tier."""
        fresh = max(0, prompt_tokens - cached_tokens)
        tokens = fresh * self.input + cached_tokens * self.cached_input + completion_tokens * self.output
        return self.call + tokens


class Price(NamedTuple):
    """A model's price at one time: tiers by the prompt's length, the shortest prompts' first."""

    tiers: tuple[Tier, ...]

    @classmethod
    def flat(cls, input: float, cached_input: float, output: float) -> Price:
        """Return a price in USD per token that is the same for all prompts."""
        return cls((Tier(0, input, cached_input, output),))

    def of(self, prompt_tokens: float, cached_tokens: float, completion_tokens: float) -> float:
        """Return the USD of one response; cached tokens are part of the prompt tokens."""
        tier = self.tiers[0]
        for other in self.tiers[1:]:
            if prompt_tokens > other.start:
                tier = other
        return tier.of(prompt_tokens, cached_tokens, completion_tokens)

    def most(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the most USD that a response to a prompt of at most `prompt_tokens` may cost."""
        highest = 0.0
        for tier in self.tiers:
            if tier is self.tiers[0] or prompt_tokens > tier.start:
                cached_tokens = prompt_tokens if tier.cached_input > tier.input else 0
                highest = max(highest, tier.of(prompt_tokens, cached_tokens, completion_tokens))
        return highest

    def times(self, ratio: float) -> Price:
        """Return a price `ratio` times as high."""
        tiers = []
        for tier in self.tiers:
            rates = [rate * ratio for rate in tier[1:]]
            tiers.append(Tier(tier.start, *rates))
        return Price(tuple(tiers))

    def to_json(self) -> list[list[float]]:
        """Return the price as the journal notes it: [start, input, cached input, output] of each tier.

        A charge for the call itself is a fifth figure.
        """
        return [list(tier) if tier.call else list(tier[:4]) for tier in self.tiers]

    @classmethod
    def from_json(cls, tiers: Sequence[Sequence[float]]) -> Price:
        """Return the price that `to_json` wrote."""
        return cls(tuple(Tier(int(start), *rates) for start, *rates in tiers))

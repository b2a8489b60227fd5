"""What batches may cost: the rest of the budget has to cover the most that every line under way could take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from raydistill.runtime.formatting import dollars
from raydistill.teacher.api import token_counts
from raydistill.teacher.api.reply import Usage
from raydistill.teacher.batch.collector import BatchRequest
from raydistill.teacher.limits.governor import Limits
from raydistill.teacher.limits.pricing import Price


class Amount(NamedTuple):
    """Money and tokens."""

    usd: float
    tokens: int

    def plus(self, usd: float, tokens: int) -> Amount:
        """Return the sum."""
        return Amount(self.usd + usd, self.tokens + tokens)


class Budget:
    """The budget of a stage that is bought in batches."""

    def __init__(self, limits: Limits, price: Price | None) -> None:
        self.limits = limits
        self.price = price
        self.spent = Amount(0.0, 0)

    def usd(self, usage: Usage) -> float | None:
        """Return what a response costs; None if no price is known."""
        return None if self.price is None else self.price.of(*usage)

    def spend(self, usage: Usage) -> None:
        """Count a response."""
        self.spent = self.spent.plus(self.usd(usage) or 0.0, usage.total)

    def most(self, requests: Iterable[BatchRequest]) -> Amount:
        """Return the most that `requests` may take."""
        amount = Amount(0.0, 0)
        for request in requests:
            prompt = token_counts.upper_bound(request.request.prompt)
            completion = len(request.samples) * request.request.max_tokens
            usage = Usage(prompt, 0, completion)
            amount = amount.plus(self.usd(usage) or 0.0, usage.total)
        return amount

    def affordable(
        self, requests: list[BatchRequest], under_way: Iterable[tuple[float, int]]
    ) -> tuple[list[BatchRequest], str]:
        """Return as many of `requests`, from the first, as the budget surely covers, and why not more.

        Args:
            requests: What is to be sent.
            under_way: The most that each batch that runs may take, in (USD, tokens).
        """
        amount = self.spent
        for usd, tokens in under_way:
            amount = amount.plus(usd, tokens)
        for i, request in enumerate(requests):
            amount = amount.plus(*self.most([request]))
            problem = self._exceeded(amount)
            if problem:
                return requests[:i], problem
        return requests, ""

    def _exceeded(self, amount: Amount) -> str:
        """Return which limit `amount` exceeds, as a sentence; "" if none."""
        if self.limits.usd is not None and amount.usd > self.limits.usd:
            return f"the next requests may cost more than the {dollars(self.limits.usd - self.spent.usd)} left"
        if self.limits.tokens is not None and amount.tokens > self.limits.tokens:
            return f"the next requests may take more than the {self.limits.tokens - self.spent.tokens:,} left"
        return ""

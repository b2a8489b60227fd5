"""What batches may cost: the rest of the budget has to cover the most that every line under way could take."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from raydistill.runtime.errors import LimitKind
from raydistill.runtime.formatting import dollars
from raydistill.teacher.api.reply import Usage
from raydistill.teacher.batch.collector import BatchRequest
from raydistill.teacher.limits.budget import Amount
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.limits.pricing import Prices
from raydistill.teacher.limits.tokens import most_prompt_tokens


class Exceeded(NamedTuple):
    """A limit that the next requests may exceed."""

    limit: LimitKind
    message: str


class BatchBudget:
    """The budget of a stage that is bought in batches."""

    def __init__(self, limits: Limits, prices: Prices | None) -> None:
        self.limits = limits
        self.prices = prices
        self.spent = Amount(0.0, 0)

    def usd(self, usage: Usage) -> float | None:
        """Return what a response costs; None if no price is known."""
        return None if self.prices is None else self.prices.at(time.time()).of(*usage)

    def spend(self, usage: Usage) -> None:
        """Count a response."""
        self.spent = self.spent.plus(self.usd(usage) or 0.0, usage.total)

    def most(self, requests: Iterable[BatchRequest]) -> Amount:
        """Return the most that `requests` may take."""
        amount = Amount(0.0, 0)
        for request in requests:
            prompt = most_prompt_tokens(request.request.prompt)
            completion = len(request.samples) * request.request.max_tokens
            usd = self.prices.most(prompt, completion) if self.prices else 0.0
            amount = amount.plus(usd, prompt + completion)
        return amount

    def affordable(
        self, requests: list[BatchRequest], under_way: Iterable[tuple[float, int]]
    ) -> tuple[list[BatchRequest], Exceeded | None]:
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
            exceeded = self._exceeded(amount)
            if exceeded:
                return requests[:i], exceeded
        return requests, None

    def _exceeded(self, amount: Amount) -> Exceeded | None:
        """Return which limit `amount` exceeds; None if none."""
        if self.limits.usd is not None and amount.usd > self.limits.usd:
            left = dollars(self.limits.usd - self.spent.usd)
            return Exceeded("usd", f"the next requests may cost more than the {left} left")
        if self.limits.tokens is not None and amount.tokens > self.limits.tokens:
            left = f"{self.limits.tokens - self.spent.tokens:,}"
            return Exceeded("tokens", f"the next requests may take more than the {left} left")
        return None

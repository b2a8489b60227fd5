"""Budgets in money and tokens: what is left of one, and whether it covers the next call."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from raydistill.runtime.formatting import dollars
from raydistill.teacher.limits.amount import Amount
from raydistill.teacher.limits.messages import Limits, StopReason

_Number = TypeVar("_Number", int, float)


class Budget(NamedTuple):
    """Money and tokens; None if there is no limit."""

    usd: float | None
    tokens: int | None

    @property
    def is_limited(self) -> bool:
        """True if money or tokens are limited."""
        return self.usd is not None or self.tokens is not None

    def less(self, bought: Amount) -> Budget:
        """Return what is left of it."""
        usd = None if self.usd is None else self.usd - bought.usd
        tokens = None if self.tokens is None else self.tokens - bought.tokens
        return Budget(usd, tokens)

    def within(self, other: Budget) -> Budget:
        """Return what both budgets allow."""
        return Budget(_lower(self.usd, other.usd), _lower(self.tokens, other.tokens))


def exceeded(limits: Limits, spent: Amount, reserved: Amount, most: Amount) -> StopReason | None:
    """Return why a call may not go; None if the budget covers it.

    Args:
        limits: the stage's, with its budget.
        spent: what the calls that are over took.
        reserved: what the calls in flight may take at the most.
        most: what the call may take at the most.
    """
    total = spent.plus(reserved).plus(most)
    if limits.usd is not None and total.usd > limits.usd:
        left = dollars(limits.usd - spent.usd)
        message = f"the next call may cost {dollars(most.usd)}, and {left} is left"
        return StopReason("budget", message, limit="usd")
    if limits.tokens is not None and total.tokens > limits.tokens:
        tokens_left = limits.tokens - spent.tokens
        message = f"the next call may take {most.tokens:,} tokens, and {tokens_left:,} are left"
        return StopReason("budget", message, limit="tokens")
    return None


def _lower(first: _Number | None, second: _Number | None) -> _Number | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)

"""What batches may cost: the rest of the budget has to cover the most that every line under way could take."""

from __future__ import annotations

from collections.abc import Iterable

from raydistill.teacher.calls.purchase import Books, Purchase
from raydistill.teacher.limits import budget
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.messages import Limits, StopReason
from raydistill.teacher.limits.tokens import TokenRatios


class BatchBudget:
    """The budget of a stage that is bought in batches.

    Attributes:
        spent: what the lines that are answered took.
        ratios: what their replies have stated about tokens.
    """

    def __init__(self, limits: Limits, books: Books) -> None:
        self.limits = limits
        self.books = books
        self.spent = NOTHING
        self.ratios = TokenRatios()

    def most(self, purchases: Iterable[Purchase]) -> Amount:
        """Return the most that `purchases` may take."""
        total = NOTHING
        for purchase in purchases:
            total = total.plus(self.books.most(purchase.most(self.ratios)))
        return total

    def affordable(
        self, purchases: list[Purchase], under_way: Iterable[Amount]
    ) -> tuple[list[Purchase], StopReason | None]:
        """Return as many of `purchases`, from the first, as the budget surely covers, and why not more.

        Args:
            purchases: What is to be sent.
            under_way: The most that each batch that runs may take.
        """
        reserved = NOTHING
        for most in under_way:
            reserved = reserved.plus(most)
        for i, purchase in enumerate(purchases):
            most = self.most([purchase])
            exceeded = budget.exceeded(self.limits, self.spent, reserved, most)
            if exceeded:
                return purchases[:i], exceeded
            reserved = reserved.plus(most)
        return purchases, None

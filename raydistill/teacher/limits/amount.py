"""Money and tokens together: what calls took, or may take at the most."""

from __future__ import annotations

from typing import NamedTuple


class Amount(NamedTuple):
    """Money and tokens, spent or reserved."""

    usd: float = 0.0
    tokens: int = 0

    def plus(self, other: Amount) -> Amount:
        """Return the sum."""
        return Amount(self.usd + other.usd, self.tokens + other.tokens)

    def minus(self, other: Amount) -> Amount:
        """Return the difference."""
        return Amount(self.usd - other.usd, self.tokens - other.tokens)


NOTHING = Amount()

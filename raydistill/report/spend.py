"""What the teacher's answers cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from raydistill.report import records


@dataclass(frozen=True)
class LedgerRow:
    """A row of LEDGER."""

    stage: str
    task: str
    kind: str
    calls: int
    attempts: int
    reused: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    usd: float | None
    """None if a price is unknown."""

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens


def total(ledger: pa.Table) -> LedgerRow | None:
    """Sum up LEDGER as a row of stage "total"; None if it is empty."""
    rows = records.read(ledger, LedgerRow)
    if not rows:
        return None
    return LedgerRow(
        stage="total",
        task="",
        kind="",
        calls=_sum(row.calls for row in rows),
        attempts=_sum(row.attempts for row in rows),
        reused=_sum(row.reused for row in rows),
        prompt_tokens=_sum(row.prompt_tokens for row in rows),
        cached_tokens=_sum(row.cached_tokens for row in rows),
        completion_tokens=_sum(row.completion_tokens for row in rows),
        usd=_usd([row.usd for row in rows]),
    )


def _sum(counts: Iterable[int | None]) -> int:
    return sum(count or 0 for count in counts)


def _usd(amounts: Iterable[float | None]) -> float | None:
    """Add up amounts; a sum without the unknown ones would be too low."""
    total_usd = 0.0
    for amount in amounts:
        if amount is None:
            return None
        total_usd += amount
    return total_usd

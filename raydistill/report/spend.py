"""What the teacher's answers cost."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


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
    if not ledger.num_rows:
        return None
    usd = ledger["usd"]
    return LedgerRow(
        stage="total",
        task="",
        kind="",
        calls=_sum(ledger["calls"]),
        attempts=_sum(ledger["attempts"]),
        reused=_sum(ledger["reused"]),
        prompt_tokens=_sum(ledger["prompt_tokens"]),
        cached_tokens=_sum(ledger["cached_tokens"]),
        completion_tokens=_sum(ledger["completion_tokens"]),
        # A sum without the unknown amounts would be too low.
        usd=None if usd.null_count else pc.sum(usd).as_py(),
    )


def _sum(counts: pa.ChunkedArray) -> int:
    return pc.sum(counts).as_py() or 0

"""Section: what the teacher's answers cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.report import records
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content
from raydistill.report.spend import LedgerRow


@dataclass(frozen=True, kw_only=True)
class Spend(Content):
    """See spend.html."""

    rows: Sequence[LedgerRow]
    total: LedgerRow


def build(run: RunReport) -> Spend | None:
    """Show the ledger's rows and their sum."""
    if run.spent is None:
        return None
    return Spend(rows=records.read(run["ledger"], LedgerRow), total=run.spent)

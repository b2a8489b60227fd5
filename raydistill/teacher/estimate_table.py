"""The lines of an estimate, and how they are shown: a table and sentences for the terminal."""

from __future__ import annotations

from typing import NamedTuple

from raydistill.config import TeacherSettings
from raydistill.runtime.formatting import dollars

HEADER = f"{'stage':10} {'method':19} {'D':>3} {'questions':>9} {'calls':>9} {'tokens':>12} {'USD':>9} {'minutes':>8}"


class Cost(NamedTuple):
    """What one stage, method and degree will take; USD are None if the model has no known price."""

    stage: str
    method: str
    degree: int
    questions: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    usd_at_most: float | None
    tokens_at_most: int
    minutes: float

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


def text(costs: list[Cost], teacher: TeacherSettings, assumptions: str, *, is_priced: bool) -> str:
    """Return the estimate as text.

    Args:
        costs: its lines.
        teacher: the teacher's settings, with the run's budget.
        assumptions: what the figures rest on, as a sentence.
        is_priced: the model has a known price.
    """
    usd = sum(cost.usd or 0.0 for cost in costs) if is_priced else None
    most_usd = sum(cost.usd_at_most or 0.0 for cost in costs) if is_priced else None
    most_tokens = sum(cost.tokens_at_most for cost in costs)
    tokens = sum(cost.tokens for cost in costs)
    calls = sum(cost.calls for cost in costs)
    minutes = sum(cost.minutes for cost in costs)
    lines = [HEADER]
    for cost in costs:
        lines.append(
            f"{cost.stage:10} {cost.method:19} {cost.degree:3} {cost.questions:9,} {cost.calls:9,} "
            f"{cost.tokens:12,} {_usd(cost.usd):>9} {cost.minutes:8.1f}"
        )
    lines.append(f"{'all':10} {'':19} {'':3} {'':9} {calls:9,} {tokens:12,} {_usd(usd):>9} {minutes:8.1f}")
    lines.append(
        f"At most {_usd(most_usd)} and {most_tokens:,} tokens, if every completion reached its limit and every sample "
        "needed an answer call of its own."
    )
    lines.append(assumptions)
    if not is_priced:
        lines.append(f"No price is known for {teacher.model!r}: set --teacher.price.input and --teacher.price.output.")
    if teacher.budget_usd is not None and usd is not None and usd > teacher.budget_usd:
        lines.append(_too_small(f"--teacher.budget_usd {teacher.budget_usd}"))
    if teacher.budget_tokens is not None and tokens > teacher.budget_tokens:
        lines.append(_too_small(f"--teacher.budget_tokens {teacher.budget_tokens:,}"))
    return "\n".join(lines)


def _usd(usd: float | None) -> str:
    return "?" if usd is None else dollars(usd)


def _too_small(budget: str) -> str:
    return f"The budget {budget} is lower: the run would stop before its end."

"""What a call costs: the user's prices, else the genai-prices list (shipped with that package, no network)."""

from __future__ import annotations

from typing import NamedTuple

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError


class Price(NamedTuple):
    """USD per token."""

    input: float
    cached_input: float
    output: float

    def of(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """USD of one response; cached tokens are part of the prompt tokens."""
        fresh = max(0, prompt_tokens - cached_tokens)
        return fresh * self.input + cached_tokens * self.cached_input + completion_tokens * self.output


FREE = Price(0.0, 0.0, 0.0)
BATCH_SHARE = 0.5  # OpenAI's Batch API costs half


def find(settings: TeacherSettings, cap: str = "") -> Price | None:
    """The teacher's prices; None where nobody knows them. Simulated and local teachers cost nothing.

    Raises:
        TeacherError: `max_usd` (or `cap`, a setting of that kind) is set and the price is not known: an unknown price
            is not a price of nothing.
    """
    price = _given(settings) or (FREE if settings.kind != "api" else _listed(settings))
    cap = cap or ("--teacher.budget_usd" if settings.budget_usd is not None else "")
    if price is None and cap:
        raise TeacherError(
            f"No price is known for the model {settings.model!r}, so {cap} cannot be kept.",
            "Set --teacher.price.input and --teacher.price.output (USD per million tokens) "
            "or use --teacher.budget_tokens.",
        )
    if price is not None and settings.transport == "batch":
        return Price(*(part * BATCH_SHARE for part in price))
    return price


def _given(settings: TeacherSettings) -> Price | None:
    if settings.price is None:
        return None
    cached = settings.price.input if settings.price.cached_input is None else settings.price.cached_input
    return Price(settings.price.input / 1e6, cached / 1e6, settings.price.output / 1e6)


def _listed(settings: TeacherSettings) -> Price | None:
    from genai_prices import Usage, calc_price

    million = 1_000_000

    def usd(usage: Usage) -> float:
        try:
            found = calc_price(usage, model_ref=settings.model, provider_api_url=settings.base_url)
        except LookupError:  # an unknown address: by the model's name alone
            found = calc_price(usage, model_ref=settings.model)
        return float(found.total_price) / million

    try:
        full = usd(Usage(input_tokens=million))
        cached = usd(Usage(input_tokens=million, cache_read_tokens=million))
        return Price(full, cached, usd(Usage(output_tokens=million)))
    except LookupError:
        return None

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
        """Return the USD of one response; cached tokens are part of the prompt tokens."""
        fresh = max(0, prompt_tokens - cached_tokens)
        return fresh * self.input + cached_tokens * self.cached_input + completion_tokens * self.output


FREE = Price(0.0, 0.0, 0.0)
BATCH_RATIO = 0.5  # OpenAI's Batch API costs half
_MILLION = 1_000_000


def find(settings: TeacherSettings, cap: str = "") -> Price | None:
    """Return the teacher's prices; None if nobody knows them. Simulated and local teachers cost nothing.

    Args:
        settings: the teacher's settings.
        cap: a dollar limit other than `budget_usd` that needs the price, as its flag.

    Raises:
        TeacherError: a dollar limit is set and the price is not known: an unknown price is not a price of nothing.
    """
    price = _own_price(settings)
    if price is None:
        price = _listed_price(settings) if settings.kind == "api" else FREE
    if settings.budget_usd is not None:
        cap = cap or "--teacher.budget_usd"
    if price is None and cap:
        raise TeacherError(
            f"No price is known for the model {settings.model!r}, so {cap} cannot be kept.",
            "Set --teacher.price.input and --teacher.price.output (USD per million tokens) "
            "or use --teacher.budget_tokens.",
        )
    if price is not None and settings.transport == "batch":
        return Price(price.input * BATCH_RATIO, price.cached_input * BATCH_RATIO, price.output * BATCH_RATIO)
    return price


def _own_price(settings: TeacherSettings) -> Price | None:
    """Return the prices in the settings."""
    own = settings.price
    if own is None:
        return None
    cached_input = own.input if own.cached_input is None else own.cached_input
    return Price(own.input / _MILLION, cached_input / _MILLION, own.output / _MILLION)


def _listed_price(settings: TeacherSettings) -> Price | None:
    """Return the prices in the list of genai-prices."""
    from genai_prices import Usage, calc_price

    def usd_per_token(usage: Usage) -> float:
        try:
            calculation = calc_price(usage, model_ref=settings.model, provider_api_url=settings.base_url)
        except LookupError:  # an unknown address: by the model's name alone
            calculation = calc_price(usage, model_ref=settings.model)
        return float(calculation.total_price) / _MILLION

    try:
        return Price(
            input=usd_per_token(Usage(input_tokens=_MILLION)),
            cached_input=usd_per_token(Usage(input_tokens=_MILLION, cache_read_tokens=_MILLION)),
            output=usd_per_token(Usage(output_tokens=_MILLION)),
        )
    except LookupError:
        return None

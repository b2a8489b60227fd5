"""Prices in the list of genai-prices, which is shipped with that package: no network.

`genai_prices.calc_price` is asked with counts as a call has them: it alone knows their tier and their hour.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raydistill.teacher.limits.price import BATCH_RATIO, Price, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

BATCH = {"processing": "batch"}
"""What genai-prices calls the prices of a provider's batch API."""


class ListedModel:
    """A model that the list has prices for."""

    def __init__(self, name: str, base_url: str | None, *, is_batch: bool) -> None:
        """Look the model up.

        Args:
            name: as the endpoint knows it.
            base_url: address of the endpoint; None to look the model up by its name alone.
            is_batch: it is asked in batches.

        Raises:
            LookupError: the list does not know it.
        """
        self.name = name
        self.base_url = base_url
        self._context = BATCH if is_batch else None
        has_own_batch_prices = _has_batch_prices(self._calculate(datetime.now(UTC), 0))
        self._ratio = BATCH_RATIO if is_batch and not has_own_batch_prices else 1.0
        self._prices: dict[str, Price] = {}

    def price_at(self, time: float) -> Price:
        """Return the price of a call at `time` (seconds since 1970)."""
        now = datetime.fromtimestamp(time, UTC)
        listed = self._calculate(now, 0).model_price
        known = repr(listed)
        if known not in self._prices:
            tiers = tuple(self._tier(now, start) for start in _starts(listed))
            self._prices[known] = Price(tiers).times(self._ratio)
        return self._prices[known]

    def _tier(self, time: datetime, start: int) -> Tier:
        """Return the tier of prompts longer than `start` tokens, from the prices of four calls in it."""
        prompt = start + 1
        call = self._calculate(time, 0).total_price
        fresh = self._calculate(time, prompt).total_price
        cached = self._calculate(time, prompt, cached_tokens=prompt).total_price
        answered = self._calculate(time, prompt, completion_tokens=1).total_price
        return Tier(
            start=start,
            input=float((fresh - call) / prompt),
            cached_input=float((cached - call) / prompt),
            output=float(answered - fresh),
            call=float(call),
        )

    def _calculate(
        self, time: datetime, prompt_tokens: int, cached_tokens: int = 0, completion_tokens: int = 0
    ) -> PriceCalculation:
        from genai_prices import Usage, calc_price

        return calc_price(
            Usage(input_tokens=prompt_tokens, cache_read_tokens=cached_tokens, output_tokens=completion_tokens),
            model_ref=self.name,
            provider_api_url=self.base_url,
            genai_request_timestamp=time,
            price_context=self._context,
        )


def find(name: str, base_url: str, *, is_batch: bool) -> ListedModel | None:
    """Return the model `name` at the provider with this address, else by its name alone; None if it is not listed."""
    for address in (base_url, None):
        try:
            return ListedModel(name, address, is_batch=is_batch)
        except LookupError:
            continue
    return None


def _has_batch_prices(calculation: PriceCalculation) -> bool:
    """Return True if the list has the provider's own batch prices, not just those of the model's maker."""
    model = calculation.model
    is_own = any(model is other for other in calculation.provider.models)
    variants = model.price_variants or []
    return is_own and any(variant.when == BATCH for variant in variants)


def _starts(listed: ModelPrice) -> list[int]:
    """Return the prompt lengths above which another tier begins, 0 for the first."""
    from genai_prices.types import TieredPrices

    starts = {0}
    for price in (listed.input_mtok, listed.cache_read_mtok, listed.output_mtok):
        if isinstance(price, TieredPrices):
            starts.update(tier.start for tier in price.tiers)
    return sorted(starts)

"""What a call costs: the user's prices, else the genai-prices list (`price_list`).

A price may depend on the length of the prompt (long-context tiers) and on the hour (off-peak prices). A call is valued
with its own counts at its own time; before it is sent, with the dearest that may apply to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from raydistill.config import PriceSettings, TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher.limits import price_list
from raydistill.teacher.limits.price import BATCH_RATIO, Price

SLOT_S = 300
"""Within such a part of an hour a price is asked for once: prices of a time of day change at its full minutes."""
HOUR_S = 3600
DAY_S = 24 * HOUR_S
_MILLION = 1_000_000


class Prices:
    """A model's prices over time."""

    def __init__(self, price_at: Callable[[float], Price], clock: Callable[[], float] = time.time) -> None:
        """Take prices from `price_at` (seconds since 1970); `clock` says when a call that is sent now is sent."""
        self._price_at = price_at
        self._clock = clock
        self._by_slot: dict[int, Price] = {}
        self._ahead_hour = -1
        self._ahead: list[Price] = []

    @classmethod
    def constant(cls, price: Price) -> Prices:
        """Return prices that do not change."""
        return cls(lambda _: price)

    def at(self, time: float) -> Price:
        """Return the price of a call that was answered at `time` (seconds since 1970)."""
        slot = int(time // SLOT_S)
        price = self._by_slot.get(slot)
        if price is None:
            price = self._by_slot[slot] = self._price_at(slot * SLOT_S)
        return price

    def most(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the most USD that a call sent now may cost: its dearest tier, at the dearest time of a day from now.

        Args:
            prompt_tokens: the most that its prompt may count for.
            completion_tokens: the most that it may write, all samples together.
        """
        return max(price.most(prompt_tokens, completion_tokens) for price in self._day_ahead())

    def _day_ahead(self) -> list[Price]:
        """Return the different prices of the 24 hours from now; looked up anew every hour."""
        now = self._clock()
        hour = math.floor(now / HOUR_S)
        if hour != self._ahead_hour:
            prices: dict[Price, None] = {}
            for start in range(hour * HOUR_S, (hour + 1) * HOUR_S + DAY_S, SLOT_S):
                prices[self.at(start)] = None
            self._ahead = list(prices)
            self._ahead_hour = hour
        return self._ahead


FREE = Prices.constant(Price.flat(0.0, 0.0, 0.0))


def find(settings: TeacherSettings, cap: str = "") -> Prices | None:
    """Return the teacher's prices; None if nobody knows them. Simulated and local teachers cost nothing.

    Args:
        settings: the teacher's settings.
        cap: a dollar limit other than `budget_usd` that needs the price, as its flag.

    Raises:
        TeacherError: a dollar limit is set and the price is not known: an unknown price is not a price of nothing.
    """
    if settings.price is not None:
        return Prices.constant(_own_price(settings.price, settings.transport))
    if settings.kind != "api":
        return FREE
    prices = _listed(settings)
    if settings.budget_usd is not None:
        cap = cap or "--teacher.budget_usd"
    if prices is None and cap:
        raise TeacherError(
            f"No price is known for the model {settings.model!r}, so {cap} cannot be kept.",
            "Set --teacher.price.input and --teacher.price.output (USD per million tokens) "
            "or use --teacher.budget_tokens.",
        )
    return prices


def _own_price(own: PriceSettings, transport: str) -> Price:
    """Return the price in the settings."""
    cached_input = own.input if own.cached_input is None else own.cached_input
    price = Price.flat(own.input / _MILLION, cached_input / _MILLION, own.output / _MILLION)
    return price.times(BATCH_RATIO) if transport == "batch" else price


def _listed(settings: TeacherSettings) -> Prices | None:
    """Return the prices in the list of genai-prices; None if it does not know the model."""
    model = price_list.find(settings.model, settings.base_url, is_batch=settings.transport == "batch")
    return None if model is None else Prices(model.price_at)

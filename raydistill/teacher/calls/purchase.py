"""One request for samples that the journal does not hold, and what it may take: alike online and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.teacher import journal
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request
from raydistill.teacher.api.response import Response
from raydistill.teacher.api.usage import Usage
from raydistill.teacher.journal import readings, records
from raydistill.teacher.journal.readings import Reading
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.amount import Amount
from raydistill.teacher.limits.pricing import Prices
from raydistill.teacher.limits.tokens import TokenRatios

SINGLE_REPLIES = 3  # replies of one sample to requests for several, in a row, by which an endpoint ignores `n`


@dataclass(frozen=True)
class Purchase:
    """Samples of one request that are bought together."""

    request: Request
    samples: list[int]
    """Their indices."""
    keys: list[str]
    """Their journal keys."""
    task: str
    kind: str
    """rationale, answer or judgement."""

    def most(self, ratios: TokenRatios) -> Usage:
        """Return the most tokens that it may take, by what replies have stated so far."""
        prompt_tokens = ratios.most_prompt_tokens(self.request.prompt)
        completion_tokens = ratios.most_completion_tokens(self.limit)
        return Usage(prompt_tokens, 0, completion_tokens)

    @property
    def limit(self) -> int:
        """Completion tokens that the request allows."""
        return len(self.samples) * self.request.max_tokens


def groups(
    request: Request, keys: Sequence[str], missing: Sequence[int], size: int, task: str, kind: str
) -> list[Purchase]:
    """Return the purchases that bring the samples `missing`, at most `size` of them each.

    Args:
        request: what is sent.
        keys: journal keys of all samples of the request, by index.
        missing: indices of those to buy.
        size: most samples of one request.
        task: name of the task.
        kind: kind of the call.
    """
    purchases = []
    for start in range(0, len(missing), size):
        samples = list(missing[start : start + size])
        purchases.append(Purchase(request, samples, [keys[i] for i in samples], task, kind))
    return purchases


class NSupport:
    """Whether the endpoint takes `n`: several samples of one request, which then pays its prompt once."""

    def __init__(self, samples_per_request: int) -> None:
        self.samples_per_request = samples_per_request  # 0: no limit
        self._takes_n = True
        self._has_taken_n = False
        self._single_replies = 0

    def size(self, missing: int) -> int:
        """Return how many of `missing` samples one request should be for."""
        return max(1, self.samples_per_request or missing) if self._takes_n else 1

    def replied(self, requested: int, received: int) -> None:
        """Take in a reply. One short reply proves nothing; several of just one sample do."""
        if requested == 1:
            return
        if received > 1:
            self._has_taken_n = True
            self._single_replies = 0
            return
        self._single_replies += 1
        if self._single_replies >= SINGLE_REPLIES:
            self._takes_n = False

    def refused(self, error: CallError) -> bool:
        """Take in an error of kind refused_n; return True if the samples should be requested singly.

        A guess from an error's text is not believed of an endpoint that has taken `n` before.
        """
        if error.is_guess and self._has_taken_n:
            return False
        self._takes_n = False
        return True


class Books:
    """Prices calls, and writes replies to the journal before anything is read in them."""

    def __init__(self, reader: journal.Reader, writer: journal.Writer, prices: Prices | None, buyer: Buyer) -> None:
        self.reader = reader
        self.writer = writer
        self.prices = prices
        self.buyer = buyer

    def most(self, usage: Usage) -> Amount:
        """Return the most that a call of `usage` tokens may cost."""
        usd = 0.0
        if self.prices is not None:
            usd = self.prices.most(usage.prompt_tokens, usage.completion_tokens)
        return Amount(usd, usage.total)

    async def keep(self, purchase: Purchase, response: Response, attempts: int, most: Usage, sent: float) -> Reading:
        """Make a reply durable, then read it.

        Args:
            purchase: what was requested.
            response: the reply.
            attempts: requests sent for it.
            most: the most tokens that it may have taken.
            sent: when it was requested, in seconds since 1970: prices depend on it.

        Raises:
            JournalError: the storage rejects it; the reply is lost.
        """
        price = None if self.prices is None else self.prices.at(sent)
        entry = records.reply(
            purchase.keys,
            response.status,
            response.content,
            purchase.request.canonical(),
            self.buyer,
            attempts=attempts,
            reserved=(most.prompt_tokens, most.completion_tokens),
            price=None if price is None else price.to_json(),
            task=purchase.task,
            kind=purchase.kind,
            is_cut=response.is_cut,
        )
        place = await self.writer.append(entry)
        self.reader.note(purchase.keys, place)
        return readings.read(entry)


def amount(reading: Reading) -> Amount:
    """Return what a reply took, as far as is known."""
    return Amount(reading.usd or 0.0, reading.usage.total)

"""Take the results of a batch into the journal."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from raydistill.runtime.errors import TeacherError
from raydistill.teacher.api import error_classification
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.dialect import BatchResult
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.response import Response
from raydistill.teacher.batch.affordable import BatchBudget
from raydistill.teacher.batch.collector import Collector
from raydistill.teacher.calls.purchase import Books, Purchase, amount
from raydistill.teacher.endpoint import Endpoint


class _Answered(NamedTuple):
    """A line with a reply."""

    purchase: Purchase
    response: Response
    attempts: int


class Results:
    """Writes replies to the journal, and tells the collector which lines failed for good."""

    def __init__(
        self,
        collector: Collector,
        books: Books,
        budget: BatchBudget,
        client: Client,
        endpoint: Endpoint,
        max_attempts: int,
    ) -> None:
        self.collector = collector
        self.books = books
        self.budget = budget
        self.client = client
        self.endpoint = endpoint
        self.max_attempts = max_attempts
        self._attempts: Counter[str] = Counter()  # by custom id

    async def take(self, content: bytes, purchases: Mapping[str, Purchase], file_id: str) -> None:
        """Write the replies of one file of results to the journal.

        Lines that failed are requested again, alone, while that makes sense.

        Args:
            content: The file.
            purchases: What each line requested, by custom id.
            file_id: The endpoint's name of the file.

        Raises:
            TeacherError: a line is no result; the lines before it are kept.
            JournalError: the storage rejects a reply.
        """
        answered: list[_Answered] = []
        try:
            for number, line in enumerate(content.splitlines(), 1):
                result = self._read(line, file_id, number)
                purchase = purchases.get(result.custom_id)
                if purchase is None or self.collector.stored.is_settled(purchase.keys[0]):
                    continue
                self._attempts[result.custom_id] += 1
                if result.status is not None and result.status < 300:
                    response = Response(result.status, self.client.mask(result.content), {}, False)
                    answered.append(_Answered(purchase, response, self._attempts[result.custom_id]))
                else:
                    self._take_failure(purchase, self._error(result, purchase), self._attempts[result.custom_id])
        finally:
            await asyncio.gather(*map(self._keep, answered))

    def _read(self, line: bytes, file_id: str, number: int) -> BatchResult:
        try:
            return self.client.dialect.read_batch_result(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TeacherError(
                f"Line {number} of {file_id}, a file of batch results, is no result: the download may have been cut.",
                "Run the same command again: it fetches the file anew; what was read is kept.",
            ) from None

    async def _keep(self, answered: _Answered) -> None:
        purchase, response, attempts = answered
        most = purchase.most(self.budget.ratios)
        reading = await self.books.keep(purchase, response, attempts, most, time.time())
        self.budget.spent = self.budget.spent.plus(amount(reading))
        if reading.error is None:
            self.collector.n_support.replied(len(purchase.samples), len(reading.keys))
        elif not reading.problem:
            self._take_failure(purchase, reading.error, attempts)

    def _error(self, result: BatchResult, purchase: Purchase) -> CallError:
        """Return why a line has no reply."""
        if result.status is None:
            return self.client.call_error(CallError("transient", result.problem))
        dialect = self.client.dialect
        content = self.client.mask(result.content)
        return error_classification.of_response(result.status, content, dialect, n=len(purchase.samples))

    def _take_failure(self, purchase: Purchase, error: CallError, attempts: int) -> None:
        refused = purchase.request.refused_parameter(error)
        if error.kind == "refused_n" and self.collector.n_support.refused(error):
            return
        if refused and not error.is_guess:
            if refused not in self.endpoint.refuses:  # other lines of the batch may have said so
                self.endpoint.note_refusal(refused, purchase.request.dialect)
        elif not error.retryable or attempts >= self.max_attempts:
            error.attempts = attempts
            self.collector.fail(purchase, error)

"""Samples of a request: from the journal if they were bought before, else bought once, within the limits.

This is the inside of an actor of a teacher stage; nothing here knows of questions and answers, nor of Ray.

A call has three outcomes. Answered: its reply is durable before it is read. Failed: an error status, nothing was
generated. Unknown: sent, but no whole reply came (a time-out, a reset); it may have been paid for, and counts so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import NamedTuple

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api import errors, retries
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError, Kind
from raydistill.teacher.api.request import Request
from raydistill.teacher.api.response import Response
from raydistill.teacher.api.usage import Usage
from raydistill.teacher.journal import JournalError
from raydistill.teacher.journal.readings import Answer, Reading
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.limits.permits import Permit, Permits, Stopped
from raydistill.teacher.limits.pricing import Prices
from raydistill.teacher.open_calls import OpenCalls
from raydistill.teacher.purchase import Books, NSupport, Purchase, amount, groups

FATAL_IN_A_ROW = 10  # 403 and 404 may be about one prompt; so many without one success are about all
UNREADABLE_IN_A_ROW = 10  # replies that are paid for
ROOM_BYTES = 1 << 16  # of the journal's storage that a call in flight may need
MOST_ROOM_BYTES = 1 << 26


class Sample(NamedTuple):
    """One sample, or why there is none; both for a reply that was paid for and cannot be read."""

    answer: Answer | None
    error: CallError | None


class Caller:
    """Buys samples; make it inside the event loop that uses it, and `open` it first."""

    def __init__(
        self,
        client: Client,
        permits: Permits,
        reader: journal.Reader,
        writer: journal.Writer,
        settings: TeacherSettings,
        prices: Prices | None,
        buyer: Buyer,
        takes: Collection[str] = (),
    ) -> None:
        """Make a caller.

        Args:
            client: sends requests.
            permits: says when.
            reader: of the journal.
            writer: of the journal.
            settings: the teacher's.
            prices: the model's; None if nobody knows them.
            buyer: who buys, as the journal notes it.
            takes: parameters that the model is known to take (`Endpoint.takes`).
        """
        self.client = client
        self.permits = permits
        self.reader = reader
        self.writer = writer
        self.settings = settings
        self.books = Books(reader, writer, prices, buyer)
        self.open_calls = OpenCalls(writer, buyer)
        self.n_support = NSupport(settings.samples_per_request)
        # By journal key, what is being bought right now: the same sample is never bought twice.
        self._in_flight: dict[str, asyncio.Future[Sample]] = {}
        self._taken = set(takes)  # parameters
        self._fatal_in_a_row = 0
        self._rejected_at: float | None = None  # when the key was rejected first (time.monotonic), since the last answer
        self._unreadable_in_a_row = 0
        self._bought_again: set[str] = set()  # keys of replies that could not be read

    async def open(self) -> None:
        """Take room in the journal; if there is none, nobody shall send anything."""
        room = min(MOST_ROOM_BYTES, self.settings.max_concurrency * ROOM_BYTES)
        try:
            await self.writer.open(room)
        except JournalError as error:
            self._abort_for_journal(error)

    async def flush(self) -> None:
        """Bring all counts to the governor; if nothing is in flight, note that in the journal."""
        try:
            await self.open_calls.close()
        except JournalError as error:
            self._abort_for_journal(error)
        await self.permits.flush()

    async def samples(self, request: Request, n: int, task: str, kind: str) -> list[Sample]:
        """Return samples 0 … n-1 of `request`; what an endpoint does is never raised, but a sample's error.

        Args:
            request: What is sent.
            n: How many samples.
            task: Name of the task, for the journal.
            kind: Kind of the call, for the journal: rationale, answer or judgement.
        """
        keys = request.keys(range(n))
        sources: list[Sample | asyncio.Future[Sample]] = []
        missing: list[int] = []
        for i, key in enumerate(keys):
            source = self._source(key)
            if source is None:
                source = asyncio.get_running_loop().create_future()
                self._in_flight[key] = source
                missing.append(i)
            sources.append(source)
        if missing:
            await self._buy_all(request, keys, missing, task, kind)
        samples = []
        for source in sources:
            samples.append(source if isinstance(source, Sample) else await source)
        return samples

    def _source(self, key: str) -> Sample | asyncio.Future[Sample] | None:
        """Return where the sample of `key` is or comes from; None if it has to be bought."""
        future = self._in_flight.get(key)
        if future is not None:
            return future
        return stored_sample(self.reader, key, self.settings, self._bought_again)

    async def _buy_all(self, request: Request, keys: list[str], missing: list[int], task: str, kind: str) -> None:
        """Buy the samples `missing` in as few requests as the endpoint takes."""
        try:
            while missing:
                purchases = groups(request, keys, missing, self.n_support.size(len(missing)), task, kind)
                missing = []
                for unbought in await asyncio.gather(*map(self._buy, purchases)):
                    missing += unbought
        finally:
            for key in keys:
                future = self._in_flight.get(key)
                if future is not None and future.done():
                    del self._in_flight[key]

    async def _buy(self, purchase: Purchase) -> list[int]:
        """Buy the samples of one request and settle their futures; return those that have to be requested again."""
        try:
            reading = await self._send(purchase)
        except CallError as error:
            if error.kind == "refused_n" and self.n_support.refused(error):
                return purchase.samples
            self._fail(purchase.keys, error)
            return []
        for key in reading.keys:
            answer = reading.answer(key)
            assert answer is not None
            self._in_flight[key].set_result(_sample(answer))
        if not reading.problem:
            self.n_support.replied(len(purchase.samples), len(reading.keys))
        return purchase.samples[len(reading.keys) :]

    def _fail(self, keys: list[str], error: CallError) -> None:
        """Settle the futures of one request without an answer; its attempts count for the first, as a price does."""
        error.key = keys[0]
        self._in_flight[keys[0]].set_result(Sample(None, error))
        other = Sample(None, CallError(error.kind, error.message))
        for key in keys[1:]:
            self._in_flight[key].set_result(other)

    async def _send(self, purchase: Purchase) -> Reading:
        """Send one request until a reply came, which may be unreadable; CallError if it has to be given up."""
        attempt = 0
        while True:
            most = Usage(0, 0, 0)

            def reserve() -> Amount:
                nonlocal most
                most = purchase.most(self.permits.ratios)
                return self.books.most(most)

            try:
                permit = await self.permits.acquire(reserve)
            except Stopped as stopped:
                kind: Kind = "budget" if stopped.reason.kind == "budget" else "stopped"
                raise CallError(kind, stopped.reason.message, attempts=attempt) from None
            attempt += 1
            try:
                return await self._send_once(purchase, permit, most, attempt)
            except CallError as error:
                error.attempts = attempt
                self.permits.failed(error.message, permit)
                if not self._is_worth_another(purchase, error, permit):
                    raise
                wait_s = retries.backoff(attempt, self.settings.backoff_s, error)
            self.permits.count(retried=1)
            await self.permits.sleep(wait_s)

    async def _send_once(self, purchase: Purchase, permit: Permit, most: Usage, attempt: int) -> Reading:
        """Send one request under a permit, which is settled whatever comes of it."""
        spent = permit.most  # until it is known better
        try:
            try:
                response = await self._exchange(purchase, permit)
            except CallError as error:
                if not error.is_unknown:
                    spent = NOTHING
                raise
            try:
                reading = await self.books.keep(purchase, response, attempt, most, time.time())
            except JournalError as error:
                self._abort_for_journal(error)
                raise CallError("fatal", error.message) from None
            spent = amount(reading)
            self._learn(purchase, response, reading, permit)
            return reading
        finally:
            self.open_calls.end(permit.most)
            self.permits.settle(permit, spent)
            self.permits.count(sent=1)

    async def _exchange(self, purchase: Purchase, permit: Permit) -> Response:
        """Send and receive. What the call may take is in the journal before it is sent, and after it if it is lost."""
        try:
            await self.open_calls.begin(permit.most)
            try:
                return await self.client.send(purchase.request, purchase.samples)
            except CallError as error:
                if error.is_unknown:
                    self.permits.count(lost=1, lost_usd=permit.most.usd)
                    await self.open_calls.lose(permit.most, error.message)
                raise
        except JournalError as error:
            self._abort_for_journal(error)
            raise CallError("fatal", error.message) from None

    def _learn(self, purchase: Purchase, response: Response, reading: Reading, permit: Permit) -> None:
        """Take in what a reply says beside its texts; CallError if it says that there was an error."""
        limits = self.client.dialect.read_rate_limits(response.headers)
        if limits:
            self.permits.learned(limits)
        self.permits.count(calls=1, **reading.usage._asdict())
        if reading.problem:
            self.permits.failed(reading.problem, permit)
            self._unreadable_in_a_row += 1
            if self._unreadable_in_a_row >= UNREADABLE_IN_A_ROW:
                message = f"{self._unreadable_in_a_row} replies in a row cannot be read: {reading.problem}"
                self.permits.abort(StopReason("fatal", message))
            return
        if reading.error is not None:
            raise reading.error
        self.permits.answered()
        self._fatal_in_a_row = 0
        self._rejected_at = None
        self._unreadable_in_a_row = 0
        self._taken |= purchase.request.parameters
        if reading.is_stated:
            self.permits.ratios.learn(
                purchase.request.prompt, reading.usage.prompt_tokens, reading.usage.completion_tokens, purchase.limit
            )

    def _is_worth_another(self, purchase: Purchase, error: CallError, permit: Permit) -> bool:
        """Return whether to send a request again after `error`; stop everybody if every call will meet it."""
        if error.kind == "rate_limit":
            self.permits.throttled(error.retry_after)
            self.permits.count(refused=1)
        if error.retryable:
            return error.attempts < self.settings.max_attempts
        parameter = purchase.request.refused_parameter(error)
        if parameter and not (error.is_guess and parameter in self._taken):
            self.permits.abort(StopReason("parameter", parameter=parameter, is_guess=error.is_guess))
        if not error.fatal_for_all:
            return False
        if error.status == 401 and not self._is_confirmed(permit):
            self.permits.throttled(None)  # a token that is being renewed: one more call shows it
            return True
        self._fatal_in_a_row += 1
        is_certain = error.status == 401 or error.code == errors.NO_CREDIT  # a wrong key, an empty account
        if is_certain or self._fatal_in_a_row >= FATAL_IN_A_ROW:
            self.permits.abort(StopReason("fatal", error.message))
        return False

    def _is_confirmed(self, permit: Permit) -> bool:
        """Return whether the key was rejected before this call was sent, which was rejected as well."""
        if self._rejected_at is None:
            self._rejected_at = time.monotonic()
        return permit.sent > self._rejected_at

    def _abort_for_journal(self, error: JournalError) -> None:
        self.permits.abort(StopReason("journal", error.message, error.hint))


def stored_sample(
    reader: journal.Reader, key: str, settings: TeacherSettings, bought_again: set[str]
) -> Sample | None:
    """Return the sample that the journal holds under `key`; None if it has to be bought.

    Args:
        reader: of the journal.
        key: the sample's.
        settings: the teacher's; `unreadable` says whether a reply that cannot be read is bought once more.
        bought_again: keys of such replies, which this adds to.
    """
    answer = reader.get(key)
    if answer is None:
        return None
    if answer.problem and settings.unreadable == "buy_again" and key not in bought_again:
        bought_again.add(key)
        return None
    return _sample(answer)


def _sample(answer: Answer) -> Sample:
    error = CallError("unreadable", answer.problem) if answer.problem else None
    return Sample(answer, error)

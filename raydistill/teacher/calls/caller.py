"""Samples of a request: from the journal if they were bought before, else bought once, within the limits.

This is the inside of an actor of a teacher stage; nothing here knows of questions and answers, nor of Ray.

A call has three outcomes. Answered: its reply is durable before it is read. Failed: an error status, nothing was
generated. Unknown: sent, but no whole reply came (a time-out, a reset); it may have been paid for, and counts so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api import retries
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError, Kind
from raydistill.teacher.api.request import Request
from raydistill.teacher.api.response import Response
from raydistill.teacher.api.usage import Usage
from raydistill.teacher.calls.claims import POLL_S, Claims
from raydistill.teacher.calls.open_calls import OpenCalls
from raydistill.teacher.calls.purchase import Books, NSupport, Purchase, amount, groups
from raydistill.teacher.calls.stop_rules import StopRules, shown
from raydistill.teacher.calls.stored_samples import Sample, StoredSamples, sample_of
from raydistill.teacher.journal import JournalError
from raydistill.teacher.journal.readings import Reading
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.limits.permits import Permit, Permits, Stopped
from raydistill.teacher.limits.pricing import Prices

ROOM_BYTES = 1 << 16  # of the journal's storage that a call in flight may need
MOST_ROOM_BYTES = 1 << 26


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
        claims: Claims | None = None,
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
            claims: what other runs are buying; None for a journal that this run has to itself.
        """
        self.client = client
        self.permits = permits
        self.reader = reader
        self.writer = writer
        self.settings = settings
        self.books = Books(reader, writer, prices, buyer)
        self.open_calls = OpenCalls(writer, buyer)
        writer.on_rejected = self._abort_for_journal
        self.claims = claims
        self._damage_told = 0  # damaged places of the journal that the governor has been told of
        self.n_support = NSupport(settings.samples_per_request)
        # By journal key, what is being bought right now: the same sample is never bought twice.
        self._in_flight: dict[str, asyncio.Future[Sample]] = {}
        self.stored = StoredSamples(reader, settings)
        self.rules = StopRules(permits, settings.max_attempts, takes)

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
        damage = len(self.reader.damage)
        self.permits.count(damaged=damage - self._damage_told)
        self._damage_told = damage
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
        return self.stored.get(key)

    async def _buy_all(self, request: Request, keys: list[str], missing: list[int], task: str, kind: str) -> None:
        """Buy the samples `missing` in as few requests as the endpoint takes."""
        try:
            while missing:
                ours = await self._ours(keys, missing)
                purchases = groups(request, keys, ours, self.n_support.size(len(ours)), task, kind)
                missing = [i for i in missing if i not in ours and not self._in_flight[keys[i]].done()]
                for unbought in await asyncio.gather(*map(self._buy, purchases)):
                    missing += unbought
        finally:
            for key in keys:
                future = self._in_flight.get(key)
                if future is not None and future.done():
                    del self._in_flight[key]
            if self.claims is not None:
                self.claims.release(keys)

    async def _ours(self, keys: list[str], missing: list[int]) -> list[int]:
        """Return which of the samples `missing` are to be bought here and now; settle those that others have bought.

        While others are buying all of them, wait.
        """
        if self.claims is None:
            return missing
        while missing:
            claimed: set[str] = set()
            if self.permits.stop is None:
                try:
                    claimed.update(await self.claims.claim([keys[i] for i in missing]))
                except JournalError as error:
                    self._abort_for_journal(error)
            missing = [i for i in missing if not self._settle_if_bought(keys[i])]
            ours = [i for i in missing if keys[i] in claimed]
            if ours:
                return ours
            if self.permits.stop is not None:
                return missing  # they fail as all that is not sent any more
            await self.permits.sleep(POLL_S)
        return []

    def _settle_if_bought(self, key: str) -> bool:
        """Settle the future of `key` if another run has bought it meanwhile; return whether it has."""
        if not self.stored.is_settled(key):
            return False
        sample = self.stored.get(key)
        assert sample is not None
        self._in_flight[key].set_result(sample)
        return True

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
            self._in_flight[key].set_result(sample_of(answer))
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
                self.permits.failed(shown(error), permit)
                if not self.rules.is_worth_another(purchase.request, error, permit):
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
                    await self.open_calls.lose(purchase.keys[0], permit.most, error.message)
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
            self.rules.unreadable(reading.problem)
            return
        if reading.error is not None:
            raise reading.error
        self.permits.answered()
        self.rules.answered(purchase.request)
        if reading.is_stated:
            self.permits.ratios.learn(
                purchase.request.prompt, reading.usage.prompt_tokens, reading.usage.completion_tokens, purchase.limit
            )

    def _abort_for_journal(self, error: JournalError) -> None:
        self.permits.abort(StopReason("journal", error.message, error.hint))

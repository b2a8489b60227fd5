"""Samples of a request: from the journal if they were bought before, else bought once, within the limits.

This is the inside of an actor of a teacher stage; nothing here knows of questions and answers, nor of Ray.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api import errors, retries
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError, Kind
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.api.request import Request
from raydistill.teacher.journal import JournalError
from raydistill.teacher.journal.records import Answer, record, sample_of
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.limits.permits import Permits, Stopped
from raydistill.teacher.limits.pricing import Prices
from raydistill.teacher.limits.tokens import most_prompt_tokens

FATAL_IN_A_ROW = 10  # 403 and 404 may be about one prompt; so many without one success are about all


@dataclass(frozen=True)
class Provenance:
    """What the journal notes beside a response: who bought it."""

    run: str
    session: str
    stage: str


class Sample(NamedTuple):
    """One sample, or why there is none."""

    answer: Answer | None
    error: CallError | None


class Caller:
    """Buys samples; make it inside the event loop that uses it."""

    def __init__(
        self,
        client: Client,
        permits: Permits,
        reader: journal.Reader,
        writer: journal.Writer,
        settings: TeacherSettings,
        prices: Prices | None,
        provenance: Provenance,
    ) -> None:
        self.client = client
        self.permits = permits
        self.reader = reader
        self.writer = writer
        self.settings = settings
        self.prices = prices
        self.provenance = provenance
        # By journal key, what is being bought right now: the same sample is never bought twice.
        self._in_flight: dict[str, asyncio.Future[Sample]] = {}
        self._supports_n = True
        self._tokens_per_character = 0.0  # highest seen
        self._fatal_in_a_row = 0

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
        answer = self.reader.get(key)
        return None if answer is None else Sample(answer, None)

    async def _buy_all(self, request: Request, keys: list[str], missing: list[int], task: str, kind: str) -> None:
        """Buy the samples `missing` in as few requests as the endpoint takes."""
        try:
            while missing:
                size = self.settings.samples_per_request or len(missing)
                if not self._supports_n:
                    size = 1
                groups = [missing[start : start + size] for start in range(0, len(missing), size)]
                purchases = [self._buy(request, keys, group, task, kind) for group in groups]
                missing = []
                for unbought in await asyncio.gather(*purchases):
                    missing += unbought
        finally:
            for key in keys:
                future = self._in_flight.get(key)
                if future is not None and future.done():
                    del self._in_flight[key]

    async def _buy(self, request: Request, keys: list[str], group: list[int], task: str, kind: str) -> list[int]:
        """Buy the samples of one request and settle their futures; return those that have to be requested singly."""
        group_keys = [keys[i] for i in group]
        try:
            reply, attempts = await self._send(request, group)
        except CallError as error:
            if error.kind == "refused_n":
                self._supports_n = False
                return group
            self._fail(group_keys, error)
            return []
        bought = min(len(group), len(reply.texts))
        bought_keys = group_keys[:bought]
        entry = record(
            bought_keys,
            reply.texts[:bought],
            reply.finish_reasons[:bought],
            reply.usage,
            self._usd(reply),
            attempts,
            request.canonical(),
            run=self.provenance.run,
            session=self.provenance.session,
            stage=self.provenance.stage,
            task=task,
            kind=kind,
            estimated=reply.estimated,
        )
        try:
            place = await self.writer.append(entry)
        except JournalError as error:
            self.permits.abort(StopReason("journal", error.message, error.hint))
            self._fail(group_keys, CallError("fatal", error.message, attempts=attempts))
            return []
        self.reader.note(bought_keys, place)
        for key in bought_keys:
            self._in_flight[key].set_result(Sample(sample_of(entry, key), None))
        if bought < len(group):  # an endpoint that ignores n
            self._supports_n = False
        return group[bought:]

    def _fail(self, keys: list[str], error: CallError) -> None:
        """Settle the futures of one request without an answer; its attempts count for the first, as a price does."""
        error.key = keys[0]
        self._in_flight[keys[0]].set_result(Sample(None, error))
        other = Sample(None, CallError(error.kind, error.message))
        for key in keys[1:]:
            self._in_flight[key].set_result(other)

    async def _send(self, request: Request, group: list[int]) -> tuple[Reply, int]:
        """Send one request until it is answered, and return (reply, attempts); CallError if it has to be given up."""
        attempt = 0
        while True:
            reserved = self._reserve(request, len(group))
            try:
                await self.permits.acquire(*reserved)
            except Stopped as stopped:
                kind: Kind = "budget" if stopped.reason.kind == "budget" else "stopped"
                raise CallError(kind, stopped.reason.message, attempts=attempt) from None
            attempt += 1
            try:
                return await self._send_once(request, group, reserved), attempt
            except CallError as error:
                error.attempts = attempt
                if error.kind == "rate_limit":
                    self.permits.throttled(error.retry_after)
                    self.permits.count(refused=1)
                if not error.retryable:
                    self._abort_if_fatal(request, error)
                    raise
                if attempt >= self.settings.max_attempts:
                    raise
                wait_s = retries.backoff(attempt, self.settings.backoff_s, error)
            self.permits.count(retried=1)
            await asyncio.sleep(wait_s)

    async def _send_once(self, request: Request, group: list[int], reserved: tuple[int, float]) -> Reply:
        """Send one request under a permit, which is settled whatever comes of it."""
        spent = (0, 0.0)
        try:
            reply = await self.client.send(request, group)
            spent = (reply.usage.total, self._usd(reply) or 0.0)
            self._learn(request, reply)
            return reply
        finally:
            self.permits.settle(reserved, spent)
            self.permits.count(sent=1)

    def _learn(self, request: Request, reply: Reply) -> None:
        """Take in what a reply says beside its texts."""
        self._fatal_in_a_row = 0
        usage = reply.usage
        if not reply.estimated:
            rate = usage.prompt_tokens / max(1, len(request.prompt))
            self._tokens_per_character = max(self._tokens_per_character, rate)
        if reply.limits:
            self.permits.learned(reply.limits)
        self.permits.count(calls=1, **usage._asdict())

    def _abort_if_fatal(self, request: Request, error: CallError) -> None:
        """Stop everybody before thousands of rows have failed, if every call will meet `error`.

        A wrong key will, and so will a parameter that the model refuses.
        """
        parameter = request.refused_parameter(error)
        if parameter:
            self.permits.abort(StopReason("parameter", parameter=parameter))
        if error.fatal_for_all:
            self._fatal_in_a_row += 1
            is_certain = error.status == 401 or error.code == errors.NO_CREDIT  # a wrong key, an empty account
            if is_certain or self._fatal_in_a_row >= FATAL_IN_A_ROW:
                self.permits.abort(StopReason("fatal", error.message))

    def _reserve(self, request: Request, n: int) -> tuple[int, float]:
        """Return the most that a call may take, in (tokens, USD)."""
        prompt = most_prompt_tokens(request.prompt, self._tokens_per_character)
        completion = n * request.max_tokens
        usd = self.prices.most(prompt, completion) if self.prices else 0.0
        return prompt + completion, usd

    def _usd(self, reply: Reply) -> float | None:
        return None if self.prices is None else self.prices.at(time.time()).of(*reply.usage)

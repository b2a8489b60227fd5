"""Samples of a request: from the journal where they were bought before, else bought once, within the limits.

This is the inside of an asking actor; nothing here knows of questions and answers, nor of Ray.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api import errors
from raydistill.teacher.api.client import Client, Reply
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request
from raydistill.teacher.journal import JournalError
from raydistill.teacher.journal.records import Answer, record, sample_of
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.limits.permits import Permits, Stopped
from raydistill.teacher.limits.pricing import Price

HOPELESS_IN_A_ROW = 10  # 403 and 404 may be about one prompt; so many without one success are about all


@dataclass(frozen=True)
class About:
    """What the journal notes beside a response."""

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
        price: Price | None,
        about: About,
    ) -> None:
        self.client, self.permits, self.reader, self.writer = client, permits, reader, writer
        self.settings, self.price, self.about = settings, price, about
        self._pending: dict[str, asyncio.Future[Sample]] = {}  # bought right now: nobody asks the same thing twice
        self._takes_n = True
        self._tokens_per_char = 0.0  # highest seen
        self._hopeless = 0

    async def samples(self, request: Request, n: int, task: str, kind: str) -> list[Sample]:
        """Samples 0 … n-1 of `request`; never raises for what an endpoint does."""
        keys = request.keys(range(n))
        found: list[Sample | asyncio.Future[Sample]] = []
        missing: list[int] = []
        for i, key in enumerate(keys):
            if (pending := self._pending.get(key)) is not None:
                found.append(pending)
            elif (known := self.reader.get(key)) is not None:
                found.append(Sample(known, None))
            else:
                self._pending[key] = future = asyncio.get_running_loop().create_future()
                found.append(future)
                missing.append(i)
        if missing:
            await self._buy_all(request, keys, missing, task, kind)
        return [await item if isinstance(item, asyncio.Future) else item for item in found]

    async def _buy_all(self, request: Request, keys: list[str], missing: list[int], task: str, kind: str) -> None:
        try:
            while missing:
                size = (self.settings.samples_per_request or len(missing)) if self._takes_n else 1
                groups = [missing[i : i + size] for i in range(0, len(missing), size)]
                left = await asyncio.gather(*(self._buy(request, keys, group, task, kind) for group in groups))
                missing = [i for group in left for i in group]
        finally:
            for key in keys:
                future = self._pending.get(key)
                if future is not None and future.done():
                    del self._pending[key]

    async def _buy(self, request: Request, keys: list[str], group: list[int], task: str, kind: str) -> list[int]:
        """Buy the samples of one request and settle their futures; returns those that must be asked for singly."""
        mine = [keys[i] for i in group]
        try:
            reply, attempts = await self._send(request, group)
        except CallError as error:
            if error.kind == "refused_n":
                self._takes_n = False
                return group
            error.key = mine[0]
            rest = CallError(error.kind, error.message)  # the attempts count for the first sample, as the price does
            self._resolve(mine, [Sample(None, error), *[Sample(None, rest)] * (len(mine) - 1)])
            return []
        came = mine[: len(reply.texts)]
        entry = record(
            came,
            reply.texts[: len(came)],
            reply.finish_reasons[: len(came)],
            (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens),
            self._usd(reply),
            attempts,
            request.canonical(),
            run=self.about.run,
            session=self.about.session,
            stage=self.about.stage,
            task=task,
            kind=kind,
            estimated=reply.estimated,
        )
        try:
            place = await self.writer.append(entry)
        except JournalError as error:
            self.permits.abort(StopReason("journal", error.message, error.hint))
            self._resolve(mine, [Sample(None, CallError("fatal", error.message, attempts=attempts))] * len(mine))
            return []
        self.reader.note(came, place)
        self._resolve(came, [Sample(sample_of(entry, key), None) for key in came])
        if len(came) < len(group):  # an endpoint that ignores n
            self._takes_n = False
        return group[len(came) :]

    def _resolve(self, keys: list[str], samples: list[Sample]) -> None:
        for key, sample in zip(keys, samples, strict=True):
            self._pending[key].set_result(sample)

    async def _send(self, request: Request, group: list[int]) -> tuple[Reply, int]:
        """(reply, attempts) of one request, retried by kind; CallError where it has to be given up."""
        attempt = 0
        while True:
            reserved = self._reserve(request, len(group))
            try:
                await self.permits.acquire(*reserved)
            except Stopped as stopped:
                kind = "budget" if stopped.reason.kind == "budget" else "stopped"
                raise CallError(kind, stopped.reason.message, attempts=attempt) from None
            attempt += 1
            spent = (0, 0.0)
            try:
                reply = await self.client.send(request, group)
                spent = (reply.prompt_tokens + reply.completion_tokens, self._usd(reply) or 0.0)
                self._learn(request, reply)
                return reply, attempt
            except CallError as error:
                failed = error
            finally:
                self.permits.settle(reserved, spent)
                self.permits.count(sent=1)
            failed.attempts = attempt
            if failed.kind == "rate_limit":
                self.permits.throttled(failed.retry_after)
                self.permits.count(refused=1)
            if not failed.worth_another:
                self._despair(request, failed)
                raise failed
            if attempt >= self.settings.max_attempts:
                raise failed
            self.permits.count(retried=1)
            await asyncio.sleep(errors.wait(attempt, self.settings.backoff_s, failed))

    def _learn(self, request: Request, reply: Reply) -> None:
        self._hopeless = 0
        if not reply.estimated:
            self._tokens_per_char = max(self._tokens_per_char, reply.prompt_tokens / max(1, len(request.prompt)))
        if reply.limits:
            self.permits.learned(reply.limits)
        self.permits.count(
            calls=1,
            prompt_tokens=reply.prompt_tokens,
            cached_tokens=reply.cached_tokens,
            completion_tokens=reply.completion_tokens,
        )

    def _despair(self, request: Request, error: CallError) -> None:
        """A wrong key will meet every call, and so will a parameter that the model refuses: stop before thousands of
        rows have failed.
        """
        if what := request.sent(error.parameter):
            self.permits.abort(StopReason("parameter", parameter=what))
        if error.hopeless:
            self._hopeless += 1
            if "HTTP 401" in error.message or "HTTP 429" in error.message or self._hopeless >= HOPELESS_IN_A_ROW:
                self.permits.abort(StopReason("fatal", error.message))

    def _reserve(self, request: Request, n: int) -> tuple[int, float]:
        """The most that a call may take, in (tokens, USD)."""
        per_char = self._tokens_per_char * 1.1 if self._tokens_per_char else 0.5
        prompt = int(len(request.prompt) * per_char) + 16
        completion = n * request.max_tokens
        return prompt + completion, self.price.of(prompt, 0, completion) if self.price else 0.0

    def _usd(self, reply: Reply) -> float | None:
        if self.price is None:
            return None
        return self.price.of(reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens)

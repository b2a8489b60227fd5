"""raydistill's teacher path in one process without Ray, as `engine_faults` puts it under attack.

`open_actor` is the only place that knows how the engine is put together.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import Any, NamedTuple

from fault_kind import Prompts
from pydantic import SecretStr

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.request import Request
from raydistill.teacher.calls.caller import Caller
from raydistill.teacher.calls.claims import Claims
from raydistill.teacher.calls.stored_samples import Sample
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal import compaction
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Report, StopReason
from raydistill.teacher.limits.permits import Permits
from raydistill.teacher.refused_parameters import learn_refusals
from raydistill.teacher.samples import NOT_ASKED
from raydistill.teacher.stage_limits import stage_limits

MODEL = "faulty"
STAGE = "zero_shot"
STOP_SEQUENCES = ("\nQ:",)
TEMPERATURE = 0.7
MAX_TOKENS = 64
DRAIN_S = 2.0
"""Beyond the time-out, for what is in flight when a run is cut off."""
CHINESE_CHARS = 3000


class Actor(NamedTuple):
    """One asking actor of a stage, with a governor of its own."""

    caller: Caller
    permits: Permits
    governor: Governor
    writer: journal.Writer
    client: Client


async def open_actor(
    endpoint: Endpoint, settings: TeacherSettings, folder: journal.Folder, run: str, prompts: int
) -> Actor:
    """Make an asking actor as a stage makes it, with what `run` has left of its budget."""
    governor = Governor(stage_limits(settings, folder, [run], STAGE, prompts=prompts))

    async def exchange(report: Report) -> Grant:
        return governor.exchange(report)

    permits = Permits(uuid.uuid4().hex, exchange)
    writer = journal.Writer(folder)
    client = endpoint.client(settings.dialect, settings.timeout, settings.max_concurrency)
    buyer = Buyer(run, uuid.uuid4().hex, STAGE)
    reader = journal.Reader(folder)
    claims = Claims(reader, writer, buyer) if settings.journal is not None else None
    prices = pricing.find(settings)
    caller = Caller(client, permits, reader, writer, settings, prices, buyer, endpoint.takes, claims)
    await caller.open()
    return Actor(caller, permits, governor, writer, client)


async def close_actor(actor: Actor) -> None:
    """Close what an actor has open."""
    actor.writer.close()
    await actor.client.close()


class Asking(NamedTuple):
    """What is asked, of whom; can be sent to other processes."""

    base_url: str
    key: str
    journal: str
    run: str
    prompts: list[str]
    n: int
    teacher: dict[str, Any]
    """Settings of the teacher."""
    longest_s: float = 600.0
    """When it is cut off, as by Ctrl-C."""

    @property
    def settings(self) -> TeacherSettings:
        """Return the teacher's settings as a run has them."""
        return TeacherSettings.model_validate(
            {"kind": "api", "model": "faulty", "base_url": self.base_url} | self.teacher
        )

    def endpoint(self) -> Endpoint:
        """Return the endpoint as a new command knows it."""
        return Endpoint(self.base_url, MODEL, "the fault server", "fault-server", SecretStr(self.key), seed=None)


class Outcome(NamedTuple):
    """What asking came to."""

    answered: int
    """Samples that were answered."""
    seconds: float
    is_cut_off: bool
    """Whether it had not ended by itself."""
    says: str
    """Why it stopped, or the commonest error."""
    messages: frozenset[str]
    """All that a person could read of it."""
    requests: list[Request]
    """In the order of the prompts, as they were sent in the end."""


async def ask(asking: Asking) -> Outcome:
    """Ask everything at once as the stage of a new command would, until it is over or cut off."""
    started = time.monotonic()
    endpoint = asking.endpoint()
    try:
        while True:
            left_s = asking.longest_s - (time.monotonic() - started)
            rows, stop, is_cut_off = await _ask_once(asking, endpoint, left_s)
            if stop is None or stop.kind != "parameter":
                break
            # the model is believed to refuse a parameter: the stage starts anew without it
            await asyncio.to_thread(learn_refusals, endpoint, stop, asking.settings, journal.Folder(asking.journal))
    except Exception as error:  # a defect, or what a command would end with
        rows, stop, is_cut_off = [], StopReason("fatal", f"{type(error).__name__}: {error}"), False
    samples = [sample for row in rows for sample in row]
    answered = sum(sample.answer is not None and not _problem(sample) for sample in samples)
    failures = Counter(_failure(sample) for sample in samples if sample.answer is None or _problem(sample))
    messages = set(failures)
    says = failures.most_common(1)[0][0] if failures else ""
    if stop is not None:
        says = stop.message
        messages.add(stop.message)
    seconds = time.monotonic() - started
    requests = [make_request(asking, endpoint, prompt) for prompt in asking.prompts]
    return Outcome(answered, seconds, is_cut_off, says, frozenset(messages), requests)


class _Asked(NamedTuple):
    rows: list[list[Sample]]
    stop: StopReason | None
    is_cut_off: bool


async def _ask_once(asking: Asking, endpoint: Endpoint, longest_s: float) -> _Asked:
    settings = asking.settings
    folder = journal.Folder(asking.journal)
    compaction.compact(folder)
    actor = await open_actor(endpoint, settings, folder, asking.run, len(asking.prompts))
    window = asyncio.Semaphore(2 * settings.max_concurrency)

    async def one(prompt: str) -> list[Sample]:
        async with window:
            request = make_request(asking, endpoint, prompt)
            samples = await actor.caller.samples(request, asking.n, "custom", "rationale")
        has_failed = any(sample.error is not None and sample.error.kind not in NOT_ASKED for sample in samples)
        actor.permits.count(rows=1, failed=has_failed)
        return samples

    tasks = [asyncio.ensure_future(one(prompt)) for prompt in asking.prompts]
    try:
        _, pending = await asyncio.wait(tasks, timeout=max(0.0, longest_s))
        is_cut_off = bool(pending)
        if pending:
            actor.governor.drain(StopReason("interrupt", "cut off"))
            await asyncio.wait(pending, timeout=settings.timeout + DRAIN_S)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await actor.caller.flush()
    finally:
        await close_actor(actor)
    defects = [result for result in results if isinstance(result, Exception)]
    if defects:
        raise defects[0]
    rows = [result for result in results if isinstance(result, list)]
    return _Asked(rows, actor.governor.stop, is_cut_off)


def make_request(asking: Asking, endpoint: Endpoint, prompt: str) -> Request:
    """Make the request for a prompt, with every parameter that the stages send."""
    return endpoint.request(asking.settings.dialect, prompt, MAX_TOKENS, TEMPERATURE, STOP_SEQUENCES)


def make_prompts(count: int, kind: Prompts = "plain", share: float = 1.0) -> list[str]:
    """Return so many different prompts, this share of them of that kind.

    The plain ones hold words that an error about a parameter may hold too.
    """
    prompts = []
    special = 0
    for index in range(count):
        if kind == "chinese" and special < share * (index + 1) - 0.5:
            special += 1
            prompts.append("题" * CHINESE_CHARS + str(index))
        else:
            question = f"Buses are not allowed to stop at {index} unexpected stations; the temperature is {index + 1}."
            prompts.append(f"Q: {question}\nA: Let's think step by step.")
    return prompts


def _problem(sample: Sample) -> str:
    """Return why an answer that is in the journal cannot be read; "" if it can."""
    return getattr(sample.answer, "problem", "")


def _failure(sample: Sample) -> str:
    if sample.error is None:
        return f"unreadable: {_problem(sample)}"
    return f"{sample.error.kind}: {sample.error.message}"

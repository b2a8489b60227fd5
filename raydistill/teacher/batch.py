"""OpenAI's Batch API as another transport of the same stage: half the price, an answer within 24 hours.

The dialogues run against the journal; what they miss is gathered, sent as files of requests, and the results go into
the journal; then the dialogues run again, which now need their answer calls, until nothing is missing. A note beside
the journal is written before each batch is made, so that a process that died finds its batches again, by id or by the
nonce in their metadata, and sends nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import BudgetReached, LimitKind, TeacherError, budget_reached
from raydistill.runtime.progress import Stage
from raydistill.teacher import journal
from raydistill.teacher import ledger as ledgers
from raydistill.teacher.api import errors
from raydistill.teacher.api.client import PATHS, Client, parse
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import NEWER_LIMIT, Request
from raydistill.teacher.caller import About, Sample
from raydistill.teacher.dialogue import dialogue
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Entry, record
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.prompt_row import PromptRow

MAX_REQUESTS, MAX_BYTES = 50_000, 190_000_000  # of one file; OpenAI takes 50,000 and 200 MB
LONGEST_POLL_S = 60.0
_OVER = ("completed", "failed", "expired", "cancelled")
_T = TypeVar("_T")


@dataclass
class Wanted:
    """One request line: samples of a request that the journal does not hold."""

    request: Request
    samples: list[int]
    keys: list[str]
    task: str
    kind: str

    @property
    def line(self) -> bytes:
        body = self.request.body(self.samples)
        url = "/v1" + PATHS[self.request.endpoint]
        said = {"custom_id": self.keys[0], "method": "POST", "url": url, "body": body}
        return json.dumps(said, ensure_ascii=False).encode() + b"\n"


@dataclass
class Collector:
    """Answers dialogues from the journal and gathers what is missing."""

    reader: journal.Reader
    samples_per_request: int
    takes_n: bool = True
    failed: dict[str, CallError] = field(default_factory=dict)  # by key: given up
    wanted: dict[str, Wanted] = field(default_factory=dict)
    _claimed: set[str] = field(default_factory=set)

    def begin(self) -> None:
        self.wanted, self._claimed = {}, set()

    async def samples(self, request: Request, n: int, task: str, kind: str) -> list[Sample]:
        keys = request.keys(range(n))
        found = [self._known(key) for key in keys]
        missing = [i for i in range(n) if found[i] is None and keys[i] not in self._claimed]
        size = (self.samples_per_request or n) if self.takes_n else 1
        for i in range(0, len(missing), size):
            group = missing[i : i + size]
            mine = [keys[j] for j in group]
            self.wanted[mine[0]] = Wanted(request, group, mine, task, kind)
            self._claimed.update(mine)
        return [sample or Sample(None, CallError("pending", "in a batch")) for sample in found]

    def _known(self, key: str) -> Sample | None:
        if key in self.failed:
            return Sample(None, self.failed[key])
        answer = self.reader.get(key)
        return Sample(answer, None) if answer else None


def ask(
    asks: pa.Table,
    settings: TeacherSettings,
    endpoint: Endpoint,
    folder: journal.Folder,
    about: About,
    limits: Limits,
    shown: Stage,
    *,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> list[dict[str, Any]]:
    """Rows of SAMPLES with their `ledger` facts for all rows of `asks`, bought in batches.

    Raises:
        BudgetReached: the next file could exceed the budget; if limits.on_budget is fail_rows, the rest fails as rows.
        TeacherError: the endpoint refuses a batch.
    """
    return asyncio.run(_Batches(settings, endpoint, folder, about, limits, shown, max_requests, max_bytes).run(asks))


class _Batches:
    def __init__(
        self,
        settings: TeacherSettings,
        endpoint: Endpoint,
        folder: journal.Folder,
        about: About,
        limits: Limits,
        shown: Stage,
        max_requests: int,
        max_bytes: int,
    ) -> None:
        self.settings, self.endpoint, self.folder, self.about, self.limits = settings, endpoint, folder, about, limits
        self.shown, self.max_requests, self.max_bytes = shown, max_requests, max_bytes
        self.price = pricing.find(settings)
        self.reader = journal.Reader(folder)
        self.collector = Collector(self.reader, settings.samples_per_request)
        self.attempts: dict[str, int] = {}
        self.spent_usd, self.spent_tokens = 0.0, 0

    async def run(self, asks: pa.Table) -> list[dict[str, Any]]:
        self.client = Client(self.endpoint.base_url, self.endpoint.key.get_secret_value(), self.settings.timeout)
        self.writer = journal.Writer(self.folder)
        try:
            while True:
                rows = await self._dialogues(asks)
                wanted = self.collector.wanted
                running = await self._running()
                if not wanted and not running:
                    return rows
                under_way = {custom_id for note in running for custom_id in note["custom_ids"]}
                fresh = [w for key, w in wanted.items() if key not in under_way]
                affordable, refused = self._affordable(fresh, running)
                if wanted and not running and not affordable:
                    if self.limits.on_budget == "stop_stage":
                        raise refused
                    error = CallError("budget", refused.message)
                    self.collector.failed |= {key: error for w in fresh for key in w.keys}
                    continue
                for part in split(affordable, self.max_requests, self.max_bytes):
                    running.append(await self._submit(part))
                await self._finish(running, wanted)
        finally:
            self.writer.close()
            await self.client.close()

    async def _dialogues(self, asks: pa.Table) -> list[dict[str, Any]]:
        self.collector.begin()
        rows = []
        for ask_ in (row for batch in asks.to_batches(1024) for row in batch.to_pylist()):
            found = await dialogue(PromptRow.of(ask_), self.about.stage, self.endpoint, self.settings, self.collector)
            rows += [ledgers.with_calls(outcome, self.about.session) for outcome in found]
        pending = sum(row["error_kind"] == "pending" for row in rows)
        self.shown.update(asks.num_rows - len({r["question_id"] for r in rows if r["error_kind"] == "pending"}))
        self.shown.update(pending=pending or None)
        return rows

    def _most(self, w: Wanted) -> tuple[float, int]:
        """The most that a line may take, in (USD, tokens)."""
        prompt, completion = len(w.request.prompt) // 2 + 16, len(w.samples) * w.request.max_tokens
        return self.price.of(prompt, 0, completion) if self.price else 0.0, prompt + completion

    def _affordable(self, wanted: list[Wanted], running: list[dict[str, Any]]) -> tuple[list[Wanted], BudgetReached]:
        """As many requests as the rest of the budget surely covers beside the batches that run, and what to say where
        that is none.
        """
        under_way = [note.get("most", (0.0, 0)) for note in running]
        usd = self.spent_usd + sum(most[0] for most in under_way)
        tokens, message = self.spent_tokens + sum(most[1] for most in under_way), ""
        taken: list[Wanted] = []
        limit: LimitKind = "usd"
        for w in wanted:
            more_usd, more_tokens = self._most(w)
            usd, tokens = usd + more_usd, tokens + more_tokens
            if self.limits.usd is not None and usd > self.limits.usd:
                message = f"the next requests may cost more than the ${self.limits.usd - self.spent_usd:.4f} left"
            elif self.limits.tokens is not None and tokens > self.limits.tokens:
                limit = "tokens"
                message = f"the next requests may take more than the {self.limits.tokens - self.spent_tokens:,} left"
            if message:
                break
            taken.append(w)
        return taken, budget_reached(limit, message, "all answers so far are kept")

    async def _submit(self, part: list[Wanted]) -> dict[str, Any]:
        nonce = uuid.uuid4().hex
        note: dict[str, Any] = {"nonce": nonce, "batch": None, "run": self.about.run, "stage": self.about.stage}
        note["custom_ids"] = {w.keys[0]: w.samples for w in part}
        most = [self._most(w) for w in part]
        note["most"] = [sum(usd for usd, _ in most), sum(tokens for _, tokens in most)]
        self._note(note)  # first: a batch that nobody remembers would be paid for nothing
        content = b"".join(w.line for w in part)
        api = self.client.openai
        file = await self._patient(lambda: api.files.create(file=("requests.jsonl", content), purpose="batch"))
        path: Any = "/v1" + PATHS[self.settings.dialect]
        meta = {"raydistill": nonce}
        made = await self._patient(
            lambda: api.batches.create(input_file_id=file.id, endpoint=path, completion_window="24h", metadata=meta),
            nonce=nonce,
        )
        note["batch"] = made.id
        self._note(note)
        return note

    async def _running(self) -> list[dict[str, Any]]:
        """The batches of this run that were made and whose results are not in the journal yet, by their notes."""
        notes = []
        for name in self.folder.names():
            if not (name.startswith("batch-") and name.endswith(".json")):
                continue
            with self.folder.fs.open_input_stream(f"{self.folder.root}/{name}") as stream:
                note = json.loads(stream.readall())
            if (note["run"], note["stage"]) != (self.about.run, self.about.stage):
                continue  # of another run on the same journal
            if note["batch"] is None:
                note["batch"] = await self._by_nonce(note["nonce"])
            if note["batch"] is None:
                self._forget(note)  # it was never made
            else:
                notes.append(note)
        return notes

    async def _by_nonce(self, nonce: str) -> str | None:
        async for made in self.client.openai.batches.list(limit=100):
            if (made.metadata or {}).get("raydistill") == nonce:
                return made.id
        return None

    async def _finish(self, notes: list[dict[str, Any]], wanted: dict[str, Wanted]) -> None:
        """Wait for the batches and take their results in, each as soon as it is over."""
        waiting, wait = list(notes), self.settings.backoff_s
        while waiting:
            done = 0
            for note in list(waiting):
                found = await self._patient(partial(self.client.openai.batches.retrieve, note["batch"]))
                done += found.request_counts.completed if found.request_counts else 0
                if found.status not in _OVER:
                    continue
                waiting.remove(note)
                known = await self._known(note, found.input_file_id, wanted)
                for file in (found.output_file_id, found.error_file_id):
                    if file:
                        await self._take(await self._file(file), known)
                self._forget(note)
                if found.status == "failed":
                    errors = (found.errors.data if found.errors else None) or []
                    said = errors[0].message if errors else "no reason given"
                    raise TeacherError(f"The endpoint refuses the batch {found.id}: {said}", "Mend it and run again.")
            self.shown.update(batches=len(notes), in_batches=done)
            if waiting:
                await asyncio.sleep(wait)
                wait = min(LONGEST_POLL_S, wait * 1.5)

    async def _file(self, file: str) -> bytes:
        return (await self._patient(partial(self.client.openai.files.content, file))).content

    async def _known(self, note: dict[str, Any], file: str, wanted: dict[str, Wanted]) -> dict[str, Wanted]:
        """What each line of a batch asked. Lines that nobody wants any more (the questions have changed since) are read
        back from the file that was sent: their answers are paid for, and go into the journal too.
        """
        ids: dict[str, list[int]] = note["custom_ids"]
        known = {key: wanted[key] for key in ids if key in wanted}
        if len(known) < len(ids):
            for line in (await self._file(file)).splitlines():
                said = json.loads(line)
                samples, body = ids[said["custom_id"]], said["body"]
                limit = NEWER_LIMIT if NEWER_LIMIT in body else "max_tokens"
                request = Request(
                    self.endpoint.identity,
                    self.settings.dialect,
                    body["model"],
                    body["prompt"] if "prompt" in body else body["messages"][0]["content"],
                    body[limit],
                    body.get("temperature"),
                    tuple(body.get("stop", ())),
                    body["seed"] - samples[0] if "seed" in body else None,
                    limit,
                )
                known.setdefault(said["custom_id"], Wanted(request, samples, request.keys(samples), "", ""))
        return known

    async def _take(self, content: bytes, wanted: dict[str, Wanted]) -> None:
        """Results of one file into the journal; lines that failed are asked again, alone, while that makes sense."""
        entries: list[tuple[list[str], Entry]] = []
        for line in content.splitlines():
            said = json.loads(line)
            w = wanted.get(said["custom_id"])
            if w is None or self.reader.get(w.keys[0]) is not None:
                continue
            attempts = self.attempts[w.keys[0]] = self.attempts.get(w.keys[0], 0) + 1
            response = said.get("response") or {}
            try:
                if response.get("status_code") != 200:
                    raise _line_error(said, len(w.samples))
                reply = parse(json.dumps(response["body"]).encode(), {}, w.request)
            except CallError as error:
                if error.kind == "refused_n":
                    self.collector.takes_n = False
                elif what := w.request.sent(error.parameter):
                    if what not in self.endpoint.refuses:
                        self.endpoint.note_refusal(what)
                elif not error.worth_another or attempts >= self.settings.max_attempts:
                    error.attempts, error.key = attempts, w.keys[0]
                    rest = CallError(error.kind, error.message)
                    self.collector.failed |= dict.fromkeys(w.keys, rest) | {w.keys[0]: error}
                continue
            usage = (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens)
            usd = self.price.of(*usage) if self.price else None
            self.spent_usd += usd or 0.0
            self.spent_tokens += reply.prompt_tokens + reply.completion_tokens
            came = w.keys[: len(reply.texts)]
            if len(came) < len(w.keys):
                self.collector.takes_n = False
            entry = record(
                came,
                reply.texts[: len(came)],
                reply.finish_reasons[: len(came)],
                usage,
                usd,
                attempts,
                w.request.canonical(),
                **{"run": self.about.run, "session": self.about.session, "stage": self.about.stage},
                **{"task": w.task, "kind": w.kind, "estimated": reply.estimated},
            )
            entries.append((came, entry))
        places = await asyncio.gather(*(self.writer.append(entry) for _, entry in entries))
        for (keys, _), place in zip(entries, places, strict=True):
            self.reader.note(keys, place)

    async def _patient(self, call: Callable[[], Awaitable[_T]], nonce: str | None = None) -> _T:
        """One API call about files and batches, with the retries of any call; creations look before they repeat."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await call()
            except Exception as error:
                found = errors.classify(error)
                message = found.message.replace(self.endpoint.key.get_secret_value(), "***")
                if not found.worth_another or attempt >= self.settings.max_attempts:
                    raise TeacherError(
                        f"The Batch API of {self.endpoint.base_url} refuses: {message}",
                        "Does the endpoint have one? Otherwise use --teacher.transport online.",
                    ) from None
                await asyncio.sleep(errors.wait(attempt, self.settings.backoff_s, found))
                if nonce and (made := await self._by_nonce(nonce)):  # it was made, only the answer was lost
                    again: Any = await self.client.openai.batches.retrieve(made)
                    return again

    def _note(self, note: dict[str, Any]) -> None:
        name = f"{self.folder.root}/batch-{note['nonce']}.json"
        with self.folder.fs.open_output_stream(f"{name}.part") as stream:
            stream.write(json.dumps(note).encode())
        self.folder.fs.move(f"{name}.part", name)

    def _forget(self, note: dict[str, Any]) -> None:
        self.folder.fs.delete_file(f"{self.folder.root}/batch-{note['nonce']}.json")


def split(wanted: list[Wanted], max_requests: int, max_bytes: int) -> Iterator[list[Wanted]]:
    """Parts that each fit into one file."""
    part: list[Wanted] = []
    size = 0
    for w in wanted:
        length = len(w.line)
        if part and (len(part) >= max_requests or size + length > max_bytes):
            yield part
            part, size = [], 0
        part.append(w)
        size += length
    if part:
        yield part


def _line_error(said: dict[str, Any], n: int) -> CallError:
    response, error = said.get("response") or {}, said.get("error") or {}
    if response.get("status_code"):
        body = response.get("body") or {}
        return errors.of_answer(response["status_code"], body.get("error"), json.dumps(body)[:300], None, n)
    return CallError("transient", f"{error.get('code') or 'no answer'}: {error.get('message') or ''}".rstrip(": "))

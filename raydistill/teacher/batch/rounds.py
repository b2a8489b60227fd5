"""A stage in rounds of batches.

The dialogues run against the journal; what they miss is collected, sent as files of requests, and the results go into
the journal; then the dialogues run again, which now need their answer calls, until nothing is missing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import get_args

import pyarrow as pa
from openai.types import Batch

from raydistill import tables
from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError, budget_reached
from raydistill.runtime.progress import Stage
from raydistill.tables import Row
from raydistill.teacher import journal
from raydistill.teacher import ledger as ledgers
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.dialect import Dialect
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.batch.affordable import BatchBudget, Exceeded
from raydistill.teacher.batch.batch_api import OVER, BatchApi
from raydistill.teacher.batch.collector import MAX_BYTES, MAX_REQUESTS, BatchRequest, Collector, split
from raydistill.teacher.batch.pending_batches import Note, Notes
from raydistill.teacher.batch.results import Results
from raydistill.teacher.caller import Provenance
from raydistill.teacher.dialogue import dialogue
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.prompt_row import PromptRow

LONGEST_POLL_S = 60.0
POLL_GROWTH = 1.5


def run(
    prompts: pa.Table,
    settings: TeacherSettings,
    endpoint: Endpoint,
    folder: journal.Folder,
    provenance: Provenance,
    limits: Limits,
    progress: Stage,
    *,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> list[Row]:
    """Buy a stage's samples in batches.

    Args:
        prompts: What the teacher is sent, a row a dialogue (tables.PROMPTS).
        settings: The teacher's.
        endpoint: Where the batches go.
        folder: The journal.
        provenance: Who buys.
        limits: The budget; rates do not matter here.
        progress: The stage's line.
        max_requests: Most lines of one batch.
        max_bytes: Most bytes of one batch's file.

    Returns:
        Rows of SAMPLES with their `ledger` facts, for all rows of `prompts`.

    Raises:
        BudgetReached: the next line could exceed the budget; if limits.on_budget is fail_rows, the rest fails as rows.
        TeacherError: the endpoint rejects a batch.
    """
    rounds = _Rounds(prompts, settings, endpoint, folder, provenance, limits, progress, max_requests, max_bytes)
    return asyncio.run(rounds.run())


class _Rounds:
    """A stage's rounds; its parts that hold connections and files live as long as `run` does."""

    api: BatchApi
    client: Client
    results: Results

    def __init__(
        self,
        prompts: pa.Table,
        settings: TeacherSettings,
        endpoint: Endpoint,
        folder: journal.Folder,
        provenance: Provenance,
        limits: Limits,
        progress: Stage,
        max_requests: int,
        max_bytes: int,
    ) -> None:
        self.prompts = prompts
        self.settings = settings
        self.endpoint = endpoint
        self.folder = folder
        self.provenance = provenance
        self.limits = limits
        self.progress = progress
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self.budget = BatchBudget(limits, pricing.find(settings))
        self.collector = Collector(journal.Reader(folder), settings.samples_per_request)
        self.notes = Notes(folder, provenance)

    async def run(self) -> list[Row]:
        """Go round until nothing is missing; return the rows of the last round."""
        self.client = self.endpoint.client(self.settings.dialect, self.settings.timeout)
        writer = journal.Writer(self.folder)
        try:
            self.api = BatchApi(self.client, self.endpoint.base_url, self.settings)
            self.results = Results(
                self.collector, writer, self.endpoint, self.budget, self.provenance, self.settings.max_attempts
            )
            while True:
                rows = await self._dialogues()
                running = await self.notes.running(self.api)
                if not self.collector.missing and not running:
                    return rows
                await self._buy(running)
        finally:
            writer.close()
            await self.client.close()

    async def _dialogues(self) -> list[Row]:
        """Run all dialogues against the journal; the collector holds what they miss."""
        self.collector.begin()
        rows: list[Row] = []
        for row in tables.rows(self.prompts):
            outcomes = await dialogue(
                PromptRow.of(row), self.provenance.stage, self.endpoint, self.settings, self.collector
            )
            for outcome in outcomes:
                rows.append(ledgers.with_calls(outcome, self.provenance.session))
        pending = [row["question_id"] for row in rows if row["error_kind"] == "pending"]
        self.progress.update(self.prompts.num_rows - len(set(pending)), pending=len(pending) or None)
        return rows

    async def _buy(self, running: list[Note]) -> None:
        """Send what is missing, as far as the budget goes, and take in these batches and those that run."""
        under_way: set[str] = set()
        for note in running:
            under_way.update(note.custom_ids)
        missing = self.collector.missing
        unsent = [request for custom_id, request in missing.items() if custom_id not in under_way]
        affordable, exceeded = self.budget.affordable(unsent, [note.most for note in running])
        if exceeded and not affordable and not running:
            self._end_at_budget(unsent, exceeded)
            return
        batches = list(running)
        for part in split(affordable, self.max_requests, self.max_bytes):
            batches.append(await self._submit(part))
        await self._finish(batches, missing)

    def _end_at_budget(self, unsent: list[BatchRequest], exceeded: Exceeded) -> None:
        error = budget_reached(exceeded.limit, exceeded.message, "all answers so far are kept")
        if self.limits.on_budget == "stop_stage":
            raise error
        for request in unsent:
            self.collector.fail(request, CallError("budget", error.message))

    async def _submit(self, part: list[BatchRequest]) -> Note:
        note = self.notes.make(part, self.budget.most(part))  # first: nobody would look for a batch without a note
        content = b"".join(request.line for request in part)
        note.batch = await self.api.create(content, note.nonce)
        self.notes.save(note)
        return note

    async def _finish(self, notes: list[Note], missing: Mapping[str, BatchRequest]) -> None:
        """Wait for the batches and take their results in, each as soon as it is over."""
        waiting = list(notes)
        wait_s = self.settings.backoff_s
        while waiting:
            completed = 0
            for note in list(waiting):
                assert note.batch is not None
                batch = await self.api.retrieve(note.batch)
                if batch.request_counts:
                    completed += batch.request_counts.completed
                if batch.status in OVER:
                    waiting.remove(note)
                    await self._take(note, batch, missing)
            self.progress.update(batches=len(notes), in_batches=completed)
            if waiting:
                await asyncio.sleep(wait_s)
                wait_s = min(LONGEST_POLL_S, wait_s * POLL_GROWTH)

    async def _take(self, note: Note, batch: Batch, missing: Mapping[str, BatchRequest]) -> None:
        """Take in the results of a batch that is over; TeacherError if the endpoint rejected it as a whole."""
        requests = await self._requests(note, batch.input_file_id, missing)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                await self.results.take(await self.api.content(file_id), requests, self.client.dialect)
        self.notes.delete(note)
        if batch.status == "failed":
            problems = batch.errors.data if batch.errors else None
            reason = problems[0].message if problems else "no reason given"
            raise TeacherError(
                f"The endpoint rejects the batch {batch.id}: {reason}", "Fix it and run the same command again."
            )

    async def _requests(
        self, note: Note, input_file_id: str, missing: Mapping[str, BatchRequest]
    ) -> dict[str, BatchRequest]:
        """Return what each line of a batch requested, by custom id.

        Lines that nobody misses any more (the questions have changed since) are read back from the file that was sent:
        their answers are paid for, and go into the journal too.
        """
        requests = {custom_id: missing[custom_id] for custom_id in note.custom_ids if custom_id in missing}
        if len(requests) == len(note.custom_ids):
            return requests
        content = await self.api.content(input_file_id)
        for line in content.splitlines():
            custom_id, request = _dialect_of(line).read_batch_line(line, self.endpoint.identity, note.custom_ids)
            samples = note.custom_ids[custom_id]
            requests.setdefault(custom_id, BatchRequest(request, samples, request.keys(samples), "", ""))
        return requests


def _dialect_of(line: bytes) -> Dialect:
    """Return the dialect that wrote a line of a batch: `teacher.dialect` may have changed since."""
    url = json.loads(line)["url"]
    names = get_args(TeacherSettings.model_fields["dialect"].annotation)
    return next(dialect for dialect in map(dialects.load, names) if dialect.batch_endpoint == url)

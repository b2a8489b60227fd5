"""A stage in rounds of batches.

The dialogues run against the journal; what they miss is collected, sent as files of requests, and the results go into
the journal; then the dialogues run again, which now need their answer calls, until nothing is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pyarrow as pa

from raydistill import tables
from raydistill.config import TeacherSettings
from raydistill.runtime.errors import budget_reached
from raydistill.runtime.progress import Stage
from raydistill.tables import Row
from raydistill.teacher import journal
from raydistill.teacher import ledger as ledgers
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.batch.batch_api import OVER
from raydistill.teacher.batch.collector import MAX_BYTES, MAX_REQUESTS, custom_id, line, split
from raydistill.teacher.batch.pending_batches import Note
from raydistill.teacher.batch.session import ROOM_BYTES, Session
from raydistill.teacher.calls.purchase import Purchase
from raydistill.teacher.dialogue import dialogue
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.amount import Amount
from raydistill.teacher.limits.messages import Limits, StopReason
from raydistill.teacher.prompt_row import PromptRow

LONGEST_POLL_S = 60.0
POLL_GROWTH = 1.5


def run(
    prompts: pa.Table,
    settings: TeacherSettings,
    endpoint: Endpoint,
    folder: journal.Folder,
    buyer: Buyer,
    limits: Limits,
    progress: Stage,
    *,
    run_names: Collection[str] = (),
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> list[Row]:
    """Buy a stage's samples in batches.

    Args:
        prompts: What the teacher is sent, a row a dialogue (tables.PROMPTS).
        settings: The teacher's.
        endpoint: Where the batches go.
        folder: The journal.
        buyer: Who buys.
        limits: The budget; rates do not matter here.
        progress: The stage's line.
        run_names: Further names of the run, under which it may have sent batches before.
        max_requests: Most lines of one batch.
        max_bytes: Most bytes of one batch's file.

    Returns:
        Rows of SAMPLES with their `ledger` facts, for all rows of `prompts`.

    Raises:
        BudgetReached: the next line could exceed the budget; if limits.on_budget is fail_rows, the rest fails as rows.
        TeacherError: the endpoint rejects a batch.
        JournalError: replies cannot be kept.
    """

    async def run_rounds() -> list[Row]:
        async with Session(settings, endpoint, folder, buyer, limits, run_names) as session:
            rounds = _Rounds(prompts, session, progress, max_requests, max_bytes)
            return await rounds.run()

    return asyncio.run(run_rounds())


class _Rounds:
    """A stage's rounds."""

    def __init__(self, prompts: pa.Table, session: Session, progress: Stage, max_requests: int, max_bytes: int) -> None:
        self.prompts = prompts
        self.session = session
        self.progress = progress
        self.max_requests = max_requests
        self.max_bytes = max_bytes

    async def run(self) -> list[Row]:
        """Go round until nothing is missing; return the rows of the last round."""
        while True:
            rows = await self._dialogues()
            running = await self.session.running()
            if not self.session.collector.missing and not running:
                return rows
            await self._buy(running)

    async def _dialogues(self) -> list[Row]:
        """Run all dialogues against the journal; the collector holds what they miss."""
        session = self.session
        session.collector.begin()
        rows: list[Row] = []
        for row in tables.rows(self.prompts):
            outcomes = await dialogue(
                PromptRow.of(row), session.buyer.stage, session.endpoint, session.settings, session.collector
            )
            for outcome in outcomes:
                rows.append(ledgers.with_calls(outcome, session.buyer.session))
        pending = [row["question_id"] for row in rows if row["error_kind"] == "pending"]
        self.progress.update(self.prompts.num_rows - len(set(pending)), pending=len(pending) or None)
        return rows

    async def _buy(self, running: list[Note]) -> None:
        """Send what is missing, as far as the budget goes, and take in these batches and those that run."""
        session = self.session
        under_way: set[str] = set()
        for note in running:
            under_way.update(note.custom_ids)
        missing = session.collector.missing
        unsent = [purchase for name, purchase in missing.items() if name not in under_way]
        affordable, exceeded = session.budget.affordable(unsent, [Amount(*note.most) for note in running])
        if exceeded and not affordable and not running:
            self._end_at_budget(unsent, exceeded)
            return
        batches = list(running)
        for part in split(affordable, self.max_requests, self.max_bytes):
            batches.append(await self._submit(part))
        await self._finish(batches, missing)

    def _end_at_budget(self, unsent: list[Purchase], exceeded: StopReason) -> None:
        assert exceeded.limit is not None
        error = budget_reached(exceeded.limit, exceeded.message, "all answers so far are kept")
        if self.session.limits.on_budget == "stop_stage":
            raise error
        for purchase in unsent:
            self.session.collector.fail(purchase, CallError("budget", error.message))

    async def _submit(self, part: list[Purchase]) -> Note:
        session = self.session
        await session.writer.open(ROOM_BYTES * len(part))  # before anything is paid for
        custom_ids = {custom_id(purchase): purchase.samples for purchase in part}
        most = session.budget.most(part)
        note = session.notes.make(custom_ids, most)  # first: nobody would look for a batch without a note
        note.batch = await session.api.create(b"".join(map(line, part)), note.nonce)
        session.notes.save(note)
        return note

    async def _finish(self, notes: list[Note], missing: Mapping[str, Purchase]) -> None:
        """Wait for the batches and take their results in, each as soon as it is over."""
        waiting = list(notes)
        wait_s = self.session.settings.backoff_s
        while waiting:
            completed = 0
            for note in list(waiting):
                assert note.batch is not None
                batch = await self.session.api.retrieve(note.batch)
                if batch.request_counts:
                    completed += batch.request_counts.completed
                if batch.status in OVER:
                    waiting.remove(note)
                    await self.session.take(note, batch, missing)
            self.progress.update(batches=len(notes), in_batches=completed)
            if waiting:
                await asyncio.sleep(wait_s)
                wait_s = min(LONGEST_POLL_S, wait_s * POLL_GROWTH)

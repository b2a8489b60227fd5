"""The Ray Data actor of a teacher stage: blocks of PROMPTS in, rows of SAMPLES with their calls out.

It holds many dialogues at once in one event loop; a window of open rows, not a block, is the unit of work, so no call
waits for another. What is paid for is in the journal: a block that Ray runs again on another actor finds it there.
"""

from __future__ import annotations

import asyncio
import platform
import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raydistill.config import Settings
from raydistill.tables import Row
from raydistill.teacher import journal
from raydistill.teacher import ledger as ledgers
from raydistill.teacher.calls.caller import Caller
from raydistill.teacher.calls.claims import Claims
from raydistill.teacher.dialogue import dialogue
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.folder import journal_folder
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.limits.permits import Permits
from raydistill.teacher.prompt_row import PromptRow
from raydistill.teacher.samples import NOT_ASKED

if TYPE_CHECKING:
    from ray.actor import ActorHandle

MIN_OPEN_ROWS = 64


class TeacherActor:
    """Asks the teacher; makes what calls it at its first block, inside the event loop that uses it."""

    def __init__(
        self, settings: Settings, endpoint: Endpoint, governor: ActorHandle, buyer: Buyer, journal_id: str
    ) -> None:
        """Open the journal.

        Args:
            settings: of the run, with absolute places.
            endpoint: where the teacher answers.
            governor: the stage's `limits.governor.Governor`.
            buyer: the run, this session of the stage, and the stage, as the journal notes them.
            journal_id: the id of the journal that the driver opened.
        """
        self.settings = settings
        self.endpoint = endpoint
        self.governor = governor
        self.buyer = buyer
        self.journal_id = journal_id
        self.folder = journal_folder(settings)
        self.reader = journal.Reader(self.folder)  # on a restart: with all that the dead actor has paid for
        # Appends to remote storage take seconds: more rows have to be open for the same number of calls in flight.
        rows_per_call = 2 if self.folder.is_local else 8
        self.window = asyncio.Semaphore(max(MIN_OPEN_ROWS, rows_per_call * settings.teacher.max_concurrency))
        self.caller: Caller | None = None
        self.opening = asyncio.Lock()

    async def __call__(self, block: pa.Table) -> pa.Table:
        """Return the rows of SAMPLES_WITH_CALLS for a block of PROMPTS."""
        caller = await self._opened_caller()
        if block.num_rows == 0:  # a stage without questions
            return ledgers.SAMPLES_WITH_CALLS.empty_table()
        number = block["block"][0].as_py()
        was_begun: Any = self.governor.begin.remote(number, caller.permits.actor)
        if await was_begun:
            self.reader.refresh()  # the actor that died has bought some of its answers
        tasks = []
        for row in block.to_pylist():
            tasks.append(asyncio.ensure_future(self._rows(PromptRow.of(row), caller)))
        rows: list[Row] = []
        for task in tasks:
            rows += await task
        await caller.flush()
        return pa.Table.from_pylist(rows, schema=ledgers.SAMPLES_WITH_CALLS)

    async def _opened_caller(self) -> Caller:
        """Return the actor's caller; the first block makes it, with room in the journal before anything is sent."""
        async with self.opening:
            if self.caller is None:
                self.caller = self._make_caller()
                self._check_journal(self.caller.permits)
                await self.caller.open()
        return self.caller

    def _make_caller(self) -> Caller:
        teacher = self.settings.teacher
        governor = self.governor
        writer = journal.Writer(self.folder)
        is_shared = teacher.journal is not None
        return Caller(
            self.endpoint.client(teacher.dialect, teacher.timeout, teacher.max_concurrency),
            Permits(uuid.uuid4().hex, lambda report: governor.exchange.remote(report)),
            self.reader,
            writer,
            teacher,
            pricing.find(teacher),
            self.buyer,
            self.endpoint.takes,
            Claims(self.reader, writer, self.buyer) if is_shared else None,
        )

    def _check_journal(self, permits: Permits) -> None:
        """Stop the stage if this node does not share the driver's journal."""
        if self.folder.id != self.journal_id:
            node = platform.node()
            message = f"The journal {self.folder.path} on node {node} is not the one that the driver opened."
            hint = "Give a run directory (or --teacher.journal) that all nodes share: NFS, or a URI such as s3://…"
            permits.abort(StopReason("journal", message, hint))

    async def _rows(self, prompt: PromptRow, caller: Caller) -> list[Row]:
        async with self.window:
            outcomes = await dialogue(prompt, self.buyer.stage, self.endpoint, self.settings.teacher, caller)
        kinds = {outcome.row.error_kind for outcome in outcomes} - {""}
        is_done = kinds.isdisjoint(NOT_ASKED)
        has_failed = not kinds.issubset(NOT_ASKED)
        caller.permits.count(rows=is_done, failed=has_failed)
        return [ledgers.with_calls(outcome, self.buyer.session) for outcome in outcomes]

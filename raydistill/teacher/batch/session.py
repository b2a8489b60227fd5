"""A stage's connection to the Batch API: its client, journal, notes and books, and how a finished batch is taken in."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import get_args

from openai.types import Batch

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher import journal
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.dialect import Dialect
from raydistill.teacher.batch.affordable import BatchBudget
from raydistill.teacher.batch.batch_api import BatchApi
from raydistill.teacher.batch.collector import Collector
from raydistill.teacher.batch.pending_batches import Note, Notes
from raydistill.teacher.batch.results import Results
from raydistill.teacher.calls.purchase import Books, NSupport, Purchase
from raydistill.teacher.calls.stored_samples import StoredSamples
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.messages import Limits

ROOM_BYTES = 1 << 13  # of the journal's storage that a line may need


class Session:
    """An open connection; use it as an async context, which closes what it opened."""

    def __init__(
        self,
        settings: TeacherSettings,
        endpoint: Endpoint,
        folder: journal.Folder,
        buyer: Buyer,
        limits: Limits,
        run_names: Collection[str] = (),
    ) -> None:
        """Connect; call it inside the event loop that uses it.

        Args:
            settings: The teacher's.
            endpoint: Where the batches are.
            folder: The journal.
            buyer: Who buys.
            limits: The budget.
            run_names: Further names of the run.
        """
        self.settings = settings.model_copy(update={"transport": "batch"})  # an online stage takes batches in, too
        self.endpoint = endpoint
        self.buyer = buyer
        self.limits = limits
        self.client = endpoint.client(settings.dialect, settings.timeout)
        self.api = BatchApi(self.client, endpoint.base_url, settings)
        self.writer = journal.Writer(folder)
        reader = journal.Reader(folder)
        self.collector = Collector(StoredSamples(reader, settings), NSupport(settings.samples_per_request))
        self.notes = Notes(folder, buyer, run_names)
        books = Books(reader, self.writer, pricing.find(self.settings), buyer)
        self.budget = BatchBudget(limits, books)
        self._results = Results(self.collector, books, self.budget, self.client, endpoint, settings.max_attempts)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        await self.client.close()

    async def running(self) -> list[Note]:
        """Find the batches again whose results are not in the journal yet."""
        return await self.notes.running(self.api)

    async def take(self, note: Note, batch: Batch, missing: Mapping[str, Purchase]) -> None:
        """Take in the results of a batch that is over.

        Args:
            note: Its note, which is deleted.
            batch: As the endpoint describes it.
            missing: What dialogues miss, by custom id.

        Raises:
            TeacherError: the endpoint rejected it as a whole, or its results cannot be read.
        """
        purchases = await self._purchases(note, batch.input_file_id, missing)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                await self._results.take(await self.api.content(file_id), purchases, file_id)
        self.notes.delete(note)
        if batch.status == "failed":
            problems = batch.errors.data if batch.errors else None
            reason = (problems[0].message if problems else None) or "no reason given"
            shown = self.client.mask(reason.encode()).decode(errors="replace")
            raise TeacherError(
                f"The endpoint rejects the batch {batch.id}: {shown}", "Fix it and run the same command again."
            )

    async def _purchases(self, note: Note, input_file_id: str, missing: Mapping[str, Purchase]) -> dict[str, Purchase]:
        """Return what each line of a batch requested, by custom id.

        Lines that nobody misses any more (the questions have changed since) are read back from the file that was sent:
        their answers are paid for, and go into the journal too.
        """
        purchases = {name: missing[name] for name in note.custom_ids if name in missing}
        if len(purchases) == len(note.custom_ids):
            return purchases
        content = await self.api.content(input_file_id)
        for line in content.splitlines():
            name, request = _dialect_of(line).read_batch_line(line, self.endpoint.identity, note.custom_ids)
            samples = note.custom_ids[name]
            purchases.setdefault(name, Purchase(request, samples, request.keys(samples), "", ""))
        return purchases


def _dialect_of(line: bytes) -> Dialect:
    """Return the dialect that wrote a line of a batch: `teacher.dialect` may have changed since."""
    url = json.loads(line)["url"]
    names = get_args(TeacherSettings.model_fields["dialect"].annotation)
    return next(dialect for dialect in map(dialects.load, names) if dialect.batch_endpoint == url)

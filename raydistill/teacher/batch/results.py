"""Take the results of a batch into the journal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from raydistill.teacher import journal
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api import error_classification
from raydistill.teacher.api.dialect import BatchResult, Dialect
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.batch.affordable import BatchBudget
from raydistill.teacher.batch.collector import BatchRequest, Collector
from raydistill.teacher.caller import Provenance
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Entry, record


class Results:
    """Writes answers to the journal, and tells the collector which lines failed for good."""

    def __init__(
        self,
        collector: Collector,
        writer: journal.Writer,
        endpoint: Endpoint,
        budget: BatchBudget,
        provenance: Provenance,
        max_attempts: int,
    ) -> None:
        self.collector = collector
        self.reader = collector.reader
        self.writer = writer
        self.endpoint = endpoint
        self.budget = budget
        self.provenance = provenance
        self.max_attempts = max_attempts
        self._attempts: Counter[str] = Counter()  # by custom id

    async def take(self, content: bytes, requests: Mapping[str, BatchRequest], dialect: Dialect) -> None:
        """Write the answers of one file of results to the journal.

        Lines that failed are requested again, alone, while that makes sense.

        Args:
            content: The file.
            requests: What each line requested, by custom id.
            dialect: How the file is read.
        """
        entries: list[tuple[list[str], Entry]] = []
        for line in content.splitlines():
            result = dialect.read_batch_result(line)
            request = requests.get(result.custom_id)
            if request is None or self.reader.get(request.keys[0]) is not None:
                continue
            self._attempts[result.custom_id] += 1
            try:
                reply = _reply(result, request, dialects.load(request.request.dialect))
            except CallError as error:
                self._take_failure(request, error, dialect)
                continue
            entries.append(self._entry(request, reply))
        places = await asyncio.gather(*(self.writer.append(entry) for _, entry in entries))
        for (keys, _), place in zip(entries, places, strict=True):
            self.reader.note(keys, place)

    def _entry(self, request: BatchRequest, reply: Reply) -> tuple[list[str], Entry]:
        """Return the keys that `reply` answers and its line of the journal."""
        self.budget.spend(reply.usage)
        keys = request.keys[: len(reply.texts)]
        if len(keys) < len(request.keys):  # an endpoint that ignores n
            self.collector.supports_n = False
        entry = record(
            keys,
            reply.texts[: len(keys)],
            reply.finish_reasons[: len(keys)],
            reply.usage,
            self.budget.usd(reply.usage),
            self._attempts[request.custom_id],
            request.request.canonical(),
            run=self.provenance.run,
            session=self.provenance.session,
            stage=self.provenance.stage,
            task=request.task,
            kind=request.kind,
            estimated=reply.estimated,
        )
        return keys, entry

    def _take_failure(self, request: BatchRequest, error: CallError, dialect: Dialect) -> None:
        attempts = self._attempts[request.custom_id]
        refused = request.request.refused_parameter(error)
        if error.kind == "refused_n":
            self.collector.supports_n = False
        elif refused:
            if refused not in self.endpoint.refuses:  # other lines of the batch may have said so
                self.endpoint.note_refusal(refused, dialect.name)
        elif not error.retryable or attempts >= self.max_attempts:
            error.attempts = attempts
            self.collector.fail(request, error)


def _reply(result: BatchResult, request: BatchRequest, dialect: Dialect) -> Reply:
    """Return the reply of one line; CallError if it has none."""
    if result.status is None:
        raise CallError("transient", result.problem)
    if result.status != 200:
        raise error_classification.of_response(result.status, result.content, dialect, n=len(request.samples))
    return dialect.read_reply(result.content, {}, request.request.prompt)

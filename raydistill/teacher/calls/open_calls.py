"""Write ahead what calls in flight may take: a process that is killed cannot say what it was about to pay for.

One note of the journal covers all calls in flight of a writer, with some room, so a steady stream of calls needs one
note, not one a call. After a kill the note counts as spent (`spending`).
"""

from __future__ import annotations

import asyncio

from raydistill.teacher import journal
from raydistill.teacher.journal import records
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.amount import NOTHING, Amount

ROOM = 1.25  # times what is in flight when the note is written


class OpenCalls:
    """What the calls in flight of one writer may take. Use it from one event loop."""

    def __init__(self, writer: journal.Writer, buyer: Buyer) -> None:
        self.writer = writer
        self.buyer = buyer
        self._total = NOTHING
        self._covered = NOTHING  # by the last note
        self._note_count = 0
        self._writing: asyncio.Future[None] | None = None

    async def begin(self, most: Amount) -> None:
        """Return once a call of at most `most` is covered by a note that is durable.

        Raises:
            JournalError: the note cannot be written; the call must not be sent. `end` has to be called all the same.
        """
        self._total = self._total.plus(most)
        while not _covers(self._covered, self._total):
            if self._writing is None:
                self._writing = asyncio.ensure_future(self._cover())
            await asyncio.shield(self._writing)

    def end(self, most: Amount) -> None:
        """Note that a call is over whose outcome, if it is known, is in the journal."""
        self._total = self._total.minus(most)

    async def lose(self, key: str, most: Amount, why: str) -> None:
        """Note that a call is over whose outcome is unknown: it counts as spent.

        Args:
            key: journal key of the first sample that it was for.
            most: what it may have taken.
            why: what came instead of a reply.

        Raises:
            JournalError: the note cannot be written.
        """
        await self.writer.append(records.lost_call(key, most, why, self.buyer))

    async def close(self) -> None:
        """Note that nothing is in flight any more, if that is so."""
        if self._total.tokens <= 0 < self._covered.tokens:
            await self._write(NOTHING)

    async def _cover(self) -> None:
        """Write a note for all calls that wait for one by now."""
        try:
            await self._write(Amount(self._total.usd * ROOM, int(self._total.tokens * ROOM)))
        finally:
            self._writing = None

    async def _write(self, most: Amount) -> None:
        self._note_count += 1
        await self.writer.append(records.open_calls(most, self.writer.name, self._note_count, self.buyer))
        self._covered = most


def _covers(covered: Amount, total: Amount) -> bool:
    return covered.tokens >= total.tokens and covered.usd >= total.usd

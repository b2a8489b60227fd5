"""Runs that share a journal at the same time: who is buying which samples, so that none is bought twice.

Before a run buys, it notes in the journal which samples it is about to buy, and looks whether another run has noted
them before; then it waits for that run's reply. Claims end by themselves: a killed run holds nobody up for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from raydistill.teacher import journal
from raydistill.teacher.journal import records
from raydistill.teacher.journal.records import Buyer, Entry

CLAIM_S = 60.0  # a claim holds so long
RENEW_S = 20.0  # and is renewed so often while its call is not over
GATHER_S = 0.01  # in which claims are gathered into one note
POLL_S = 0.25  # between two looks at what others have bought and claimed


class _Claim(NamedTuple):
    """Another writer's claim to a sample."""

    made: float
    writer: str
    until: float


class Claims:
    """The claims of one writer, and what it knows of the others'. Use it from one event loop.

    Times are seconds since 1970, as machines share them.
    """

    def __init__(self, reader: journal.Reader, writer: journal.Writer, buyer: Buyer) -> None:
        self.reader = reader
        self.writer = writer
        self.buyer = buyer
        self._others: dict[str, _Claim] = {}  # by key
        self._own: set[str] = set()  # keys
        self._waiting: list[str] = []  # keys that are to be claimed
        self._claiming: asyncio.Future[None] | None = None
        self._looked = 0.0
        self._renewing: asyncio.Task[None] | None = None
        reader.listen(self._note)

    async def claim(self, keys: Sequence[str]) -> list[str]:
        """Claim those of `keys` that nobody else is buying; return them. What others have bought is known after it.

        Raises:
            JournalError: the claim cannot be written.
        """
        self._waiting += keys
        if self._claiming is None:
            self._claiming = asyncio.ensure_future(self._claim_waiting())
        await asyncio.shield(self._claiming)
        return [key for key in keys if key in self._own]

    async def _claim_waiting(self) -> None:
        """Claim all keys that wait, in one note."""
        await asyncio.sleep(GATHER_S)
        keys = self._waiting
        self._waiting = []
        self._claiming = None
        self._look(always=False)
        free = [key for key in keys if not self._is_others(key, time.time())]
        if not free:
            return
        entry = records.claim(free, self.writer.name, time.time() + CLAIM_S, self.buyer)
        await self.writer.append(entry)
        if self._renewing is None:
            self._renewing = asyncio.ensure_future(self._renew())
        self._look(always=True)  # two may have claimed at once: the first one buys
        for key in free:
            if not self._is_others(key, entry["time"]):
                self._own.add(key)

    def release(self, keys: Collection[str]) -> None:
        """Renew the claims to `keys` no more: they are bought, or given up."""
        self._own.difference_update(keys)

    def _look(self, *, always: bool) -> None:
        """Take in what others have bought and claimed; not more often than every POLL_S, unless `always`."""
        now = time.monotonic()
        if always or now - self._looked >= POLL_S:
            self._looked = now
            self.reader.refresh()

    def _is_others(self, key: str, made: float) -> bool:
        """Return whether somebody else claimed `key` before time `made`, and still holds it."""
        other = self._others.get(key)
        if other is None or other.until < time.time():
            return False
        return (other.made, other.writer) < (made, self.writer.name)

    def _note(self, entry: Entry, file: str) -> None:
        """Take in a note of the journal."""
        if records.kind_of(entry) != "claim" or entry["writer"] == self.writer.name:
            return
        if entry["run"] == self.buyer.run and entry["session"] != self.buyer.session:
            return  # an earlier command of this run, which is over: a run directory is for one command at a time
        for key in entry["claim"]:
            earlier = self._others.get(key)
            is_renewed = earlier is not None and earlier.writer == entry["writer"]
            made = earlier.made if earlier is not None and is_renewed else entry["time"]
            if earlier is None or is_renewed or earlier.until < entry["time"]:
                self._others[key] = _Claim(made, entry["writer"], entry["until"])

    async def _renew(self) -> None:
        """Renew the claims whose calls are not over."""
        while True:
            await asyncio.sleep(RENEW_S)
            now = time.time()
            self._others = {key: other for key, other in self._others.items() if other.until > now}
            if self._own:
                entry = records.claim(list(self._own), self.writer.name, time.time() + CLAIM_S, self.buyer)
                await self.writer.append(entry)

    async def close(self) -> None:
        """Stop renewing."""
        if self._renewing is not None:
            self._renewing.cancel()

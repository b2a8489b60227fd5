"""The journal's writing side: entries become lines, durable in groups; what the storage rejects is tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from raydistill.runtime.errors import storage_error
from raydistill.teacher.journal import segments, storing
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.problems import JournalError
from raydistill.teacher.journal.records import Entry, encode, keys_of
from raydistill.teacher.journal.segments import Place

LOCAL_FLUSH_S = 0.01
REMOTE_FLUSH_S = 2.0
REMOTE_FLUSH_LINES = 256
RETRY_S = 1.0  # between two tries to write what the storage rejects
GIVE_UP_S = 60.0  # for which it is tried; then it is lost
_REMOTE_POLL_S = 0.05

_T = TypeVar("_T")


class _Waiting(NamedTuple):
    """A line that is not durable yet."""

    line: bytes
    answers: int
    since: float
    place: asyncio.Future[Place]


class Writer:
    """Appends to a segment of its own; use it from one event loop.

    On a local folder the segment carries an advisory lock while the writer lives, so that nobody seals it.

    Attributes:
        name: tells it from other writers.
        lost: samples of replies that could not be written: they were paid for.
        on_rejected: is called when the storage begins to reject lines (a full disk). They are kept in memory and tried
            again for GIVE_UP_S, so nothing more should be bought.
    """

    def __init__(self, folder: Folder, on_rejected: Callable[[JournalError], None] | None = None) -> None:
        self.folder = folder
        self.name = segments.new_name()
        self.lost = 0
        self.on_rejected = on_rejected
        self._storage = storing.storage_of(folder, self.name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[_Waiting] = []
        self._flush_task: asyncio.Task[None] | None = None
        self._rejected_since: float | None = None

    async def open(self, room_bytes: int = 0) -> None:
        """See that entries can be written, before anything is paid for that needs it.

        Args:
            room_bytes: are reserved on a local disk, for what is in flight when it is full.

        Raises:
            JournalError: the storage rejects it: a full disk, a folder of somebody else's.
        """
        try:
            await self._in_thread(lambda: self._storage.open(room_bytes))
        except OSError as error:
            raise self._error(error) from None

    async def append(self, entry: Entry) -> Place:
        """Make `entry` durable and return its place.

        Raises:
            JournalError: the storage has rejected it for GIVE_UP_S.
        """
        place: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(encode(entry), len(keys_of(entry)), time.monotonic(), place))
        if self._flush_task is None:
            self._flush_task = asyncio.ensure_future(self._flush())
        return await place

    def close(self) -> None:
        """Release the segment; appends that were awaited are durable already."""
        self._thread.shutdown(wait=True)
        self._storage.close()

    async def _flush(self) -> None:
        """Write what waits until nothing does."""
        try:
            while self._waiting:
                await self._gather()
                await self._write()
        except Exception as error:
            self._fail(len(self._waiting), error)  # nobody shall wait for ever
            raise
        finally:
            self._flush_task = None

    async def _gather(self) -> None:
        """Wait for more lines."""
        since = self._waiting[0].since
        if self.folder.is_local:
            await asyncio.sleep(since + LOCAL_FLUSH_S - time.monotonic())
            return
        while len(self._waiting) < REMOTE_FLUSH_LINES and time.monotonic() < since + REMOTE_FLUSH_S:
            await asyncio.sleep(_REMOTE_POLL_S)

    async def _write(self) -> None:
        """Write all lines that wait; if the storage rejects some, make room or wait a little, as they stay."""
        lines = [waiting.line for waiting in self._waiting]
        places, error = await self._in_thread(lambda: self._storage.write(lines))
        for waiting, place in zip(self._waiting, places, strict=False):
            if not waiting.place.done():
                waiting.place.set_result(place)
        del self._waiting[: len(places)]
        if error is None:
            self._rejected_since = None
            return
        if self._rejected_since is None:
            self._rejected_since = time.monotonic()
            if self.on_rejected is not None:
                self.on_rejected(self._error(error))
        if await self._in_thread(self._storage.give_room):
            return
        if time.monotonic() - self._rejected_since < GIVE_UP_S:
            await asyncio.sleep(RETRY_S)
        else:
            self._give_up(len(lines) - len(places), error)

    def _give_up(self, count: int, error: OSError) -> None:
        """Give the first `count` lines up that wait."""
        answers = sum(waiting.answers for waiting in self._waiting[:count])
        self.lost += answers
        failure = self._error(error)
        if answers:
            message = f"{failure.message} {answers:,} answers that were paid for are lost."
            failure = JournalError(message, failure.hint)
        self._fail(count, failure)

    def _fail(self, count: int, error: Exception) -> None:
        for waiting in self._waiting[:count]:
            if not waiting.place.done():
                waiting.place.set_exception(error)
        del self._waiting[:count]

    def _error(self, error: OSError) -> JournalError:
        return JournalError(*storage_error(f"the journal {self.folder.path}", error))

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

"""The journal's writing side: responses become lines of a segment, durable in groups."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from raydistill.runtime.errors import storage_error
from raydistill.runtime.files import sync
from raydistill.teacher.journal import segments
from raydistill.teacher.journal.folder import Folder, JournalError
from raydistill.teacher.journal.records import Entry, encode

LOCAL_FLUSH_S = 0.01
REMOTE_FLUSH_S = 2.0
REMOTE_FLUSH_LINES = 256
_REMOTE_POLL_S = 0.05


class Place(NamedTuple):
    """Where a response lies: a segment's file name, and the offset of its line in bytes."""

    name: str
    offset: int


class Writer:
    """Appends to one segment of its own; use it from one event loop.

    On a local folder the segment carries an advisory lock while the writer lives, so that nobody compacts it.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.name = segments.new_name()
        self._lines: list[bytes] = []
        self._flush_task: asyncio.Task[list[Place]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._descriptor = -1
        self._size = 0  # bytes of the local segment
        self._object_count = 0  # objects written to remote storage

    async def append(self, entry: Entry) -> Place:
        """Make `entry` durable and return its place.

        Raises:
            JournalError: the storage rejects it (a full disk).
        """
        self._lines.append(encode(entry))
        position = len(self._lines) - 1
        if self._flush_task is None:
            self._flush_task = asyncio.ensure_future(self._flush_soon())
        places = await asyncio.shield(self._flush_task)
        return places[position]

    async def _flush_soon(self) -> list[Place]:
        """Wait for more lines, then write them all."""
        if self.folder.is_local:
            await asyncio.sleep(LOCAL_FLUSH_S)
        else:
            deadline = time.monotonic() + REMOTE_FLUSH_S
            while len(self._lines) < REMOTE_FLUSH_LINES and time.monotonic() < deadline:
                await asyncio.sleep(_REMOTE_POLL_S)
        lines = self._lines
        self._lines = []
        self._flush_task = None
        write = self._append_local if self.folder.is_local else self._write_object
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, write, lines)
        except OSError as error:
            raise JournalError(*storage_error(f"the journal {self.folder.path}", error)) from None

    def _write_object(self, lines: list[bytes]) -> list[Place]:
        name = f"{self.name}-{self._object_count:06d}.jsonl"
        with self.folder.fs.open_output_stream(self.folder.path_of(name)) as stream:
            stream.write(b"".join(lines))
        self._object_count += 1
        return _places(name, 0, lines)

    def _append_local(self, lines: list[bytes]) -> list[Place]:
        if self._descriptor < 0:
            self._start_segment()
        start = self._size
        data = b"".join(lines)
        remaining = memoryview(data)
        try:
            while remaining:
                written = os.write(self._descriptor, remaining)
                remaining = remaining[written:]
            os.fsync(self._descriptor)
        except OSError:
            # Whole lines stay, as they are paid for; a later line must not be glued to half of one.
            self._size += data.rfind(b"\n", 0, len(data) - len(remaining)) + 1
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)
        return _places(f"{self.name}.jsonl", start, lines)

    def _start_segment(self) -> None:
        """Create a segment and lock it; if a compaction took it before it was locked, create another."""
        while self._descriptor < 0:
            self.name = segments.new_name()
            path = self.folder.path_of(f"{self.name}.jsonl")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            if segments.lock(descriptor, path) == "busy":
                os.close(descriptor)
            else:
                self._descriptor = descriptor
        sync(self.folder.root)

    def close(self) -> None:
        """Release the segment; appends that were awaited are durable already."""
        self._thread.shutdown(wait=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _places(name: str, start: int, lines: list[bytes]) -> list[Place]:
    places = []
    offset = start
    for line in lines:
        places.append(Place(name, offset))
        offset += len(line)
    return places

"""Segments: files of journal lines, each appended to by one writer, which holds its lock while it lives."""

from __future__ import annotations

import io
import os
import time
import uuid
from collections.abc import Iterator
from typing import IO, Literal

from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.records import Entry, decode

Lock = Literal["acquired", "busy", "unsupported"]


def new_name() -> str:
    """Name of a new segment, without its ending."""
    return f"segment-{timestamp()}"


def timestamp() -> str:
    """Now (UTC, to the second) and 48 random bits: part of the name of a journal file."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}"


def is_segment(name: str) -> bool:
    """Return True if `name` is that of a segment."""
    return name.startswith("segment-") and name.endswith(".jsonl")


def read(folder: Folder, name: str, start: int = 0) -> Iterator[tuple[int, Entry | None]]:
    """Yield (offset, record) of each whole line after the one that byte `start` is in; from the first line on if 0.

    The record is None for a torn line.

    Raises:
        FileNotFoundError: the segment was compacted meanwhile.
    """
    with _open(folder, name) as stream:
        offset = start
        if start:
            stream.seek(start)
            offset += len(stream.readline())
        while line := stream.readline():
            yield offset, decode(line)
            offset += len(line)


def _open(folder: Folder, name: str) -> IO[bytes]:
    path = folder.path_of(name)
    if folder.is_local:
        return open(path, "rb")
    # Arrow's streams have no lines; a remote segment is a few hundred lines and fits in memory.
    with folder.fs.open_input_stream(path) as stream:
        return io.BytesIO(stream.readall())


def lock(descriptor: int, path: str) -> Lock:
    """Take the advisory lock of a local segment without waiting.

    Returns:
        acquired: it is held until the descriptor is closed. busy: somebody else holds it, or the file is no longer the
        one at `path`, because it was compacted meanwhile. unsupported: there are no locks (Windows, some NFS); nobody
        compacts there.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "busy"
    except (ImportError, OSError):
        return "unsupported"
    try:
        is_same_file = os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        is_same_file = False
    return "acquired" if is_same_file else "busy"


def open_locked(path: str) -> int | None:
    """Open an existing local segment and lock it; None if a writer or another compaction has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        is_acquired = lock(descriptor, path) == "acquired"
    except BaseException:
        os.close(descriptor)
        raise
    if is_acquired:
        return descriptor
    os.close(descriptor)
    return None

"""Segments: files of journal lines, each appended to by one writer, which holds its lock while it lives."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from typing import IO, Literal, NamedTuple

from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.problems import Damage
from raydistill.teacher.journal.records import Entry, decode

Lock = Literal["acquired", "busy", "unsupported"]


class Line(NamedTuple):
    """A line of a segment."""

    offset: int
    content: bytes
    entry: Entry | None
    """None if the line is damaged."""


class Place(NamedTuple):
    """Where a line lies: a segment's file name, and its offset and size in bytes."""

    name: str
    offset: int
    size: int


def new_name() -> str:
    """Name of a new segment, without its ending."""
    return f"segment-{timestamp()}"


def timestamp() -> str:
    """Now (UTC, to the second) and 48 random bits: part of the name of a journal file."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}"


def is_segment(name: str) -> bool:
    """Return True if `name` is that of a segment."""
    return name.startswith("segment-") and name.endswith(".jsonl")


def read(folder: Folder, name: str, start: int = 0) -> Iterator[Line]:
    """Yield the lines of a segment from byte `start`, where one begins; see `lines`.

    Raises:
        FileNotFoundError: the segment was sealed meanwhile.
    """
    with folder.open(name) as stream:
        yield from lines(stream, start)


def lines(stream: IO[bytes], start: int = 0) -> Iterator[Line]:
    """Yield the lines of a segment, but for a torn last one: its writer was killed, or is about to write the rest."""
    stream.seek(start)
    offset = start
    for content in stream:
        is_whole = content.endswith(b"\n")
        if not is_whole and decode(content[:-1] + b"\n") is None:
            return
        yield Line(offset, content, decode(content))  # the last one, if it is not whole: its newline is damaged
        offset += len(content)


def damaged_line(name: str, offset: int) -> Damage:
    """Return what is wrong with a segment whose line at `offset` is damaged."""
    return Damage(name, offset, "a line is damaged and left out")


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

"""How lines get onto storage: appended to a local segment that is locked, or as an object for each group of them."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple, Protocol

from raydistill.runtime.files import sync
from raydistill.teacher.journal import room, segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.segments import Place


class Stored(NamedTuple):
    """What became of a group of lines."""

    places: list[Place]
    """Of those that are durable: the first ones of the group."""
    error: OSError | None
    """Why the others are not."""


class Storage(Protocol):
    """Where a writer's lines go; used from one thread at a time."""

    def open(self, room_bytes: int) -> None:
        """See that lines can be written, and reserve room for `room_bytes` of them; OSError if that cannot be."""

    def write(self, lines: list[bytes]) -> Stored:
        """Make lines durable, in order, as far as the storage takes them."""

    def give_room(self) -> bool:
        """Give up the room that was reserved, for lines to be written there; return False if there was none."""

    def close(self) -> None:
        """Release everything."""


def storage_of(folder: Folder, name: str) -> Storage:
    """Return the storage of a writer called `name`."""
    return LocalSegments(folder, name) if folder.is_local else Objects(folder, name)


class LocalSegments:
    """Appends to one segment, under an advisory lock, so that nobody seals it.

    Where it is unsure what of the segment is durable, it leaves that and begins another.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name
        self._segment_count = 0
        self._segment = ""  # its file name
        self._descriptor = -1
        self._size = 0  # of the segment
        self._room = folder.path_of(name + room.ENDING)

    def open(self, room_bytes: int) -> None:
        """Create and lock the segment, and reserve room for it."""
        if self._descriptor < 0:
            self._begin()
        if room_bytes:
            room.reserve(self._room, room_bytes)

    def write(self, lines: list[bytes]) -> Stored:
        """Append lines and sync them."""
        data = b"".join(lines)
        try:
            if self._descriptor < 0:
                self._begin()
            written, error = self._append(data)
            whole = data.rfind(b"\n", 0, written) + 1
            if error is not None:  # whole lines stay, as they are paid for; none must be glued to half of one
                os.ftruncate(self._descriptor, self._size + whole)
            os.fsync(self._descriptor)
        except OSError as failure:
            self._leave()
            return Stored([], failure)
        places = []
        for line in lines[: data.count(b"\n", 0, whole)]:
            places.append(Place(self._segment, self._size, len(line)))
            self._size += len(line)
        return Stored(places, error)

    def give_room(self) -> bool:
        """Delete the file that holds the room."""
        return room.release(self._room)

    def close(self) -> None:
        """Release the segment; an empty one goes."""
        self.give_room()
        if self._descriptor < 0:
            return
        if self._size == 0:
            with contextlib.suppress(OSError):
                os.unlink(self.folder.path_of(self._segment))
        self._leave()

    def _begin(self) -> None:
        """Create a segment and lock it; if a compaction took it before it was locked, create another."""
        while self._descriptor < 0:
            number = f"-{self._segment_count:06d}" if self._segment_count else ""
            self._segment = f"{self.name}{number}.jsonl"
            self._segment_count += 1
            path = self.folder.path_of(self._segment)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            if segments.lock(descriptor, path) == "busy":
                os.close(descriptor)
            else:
                self._descriptor = descriptor
                self._size = 0
        sync(self.folder.root)

    def _append(self, data: bytes) -> tuple[int, OSError | None]:
        """Write as much of `data` as fits; return how many bytes that is, and what stopped it."""
        remaining = memoryview(data)
        try:
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        except OSError as error:
            return len(data) - len(remaining), error
        return len(data), None

    def _leave(self) -> None:
        """Release the segment, cut to what is known to be durable; if that fails too, lines may stand twice."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
        os.close(self._descriptor)
        self._descriptor = -1


class Objects:
    """Writes an object for each group of lines: object stores cannot append."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name
        self._count = 0

    def open(self, room_bytes: int) -> None:
        """Write an object and delete it; room cannot be reserved."""
        path = self.folder.path_of(self.name + room.ENDING)
        with self.folder.fs.open_output_stream(path) as stream:
            stream.write(b"\n")
        with contextlib.suppress(FileNotFoundError):
            self.folder.fs.delete_file(path)

    def write(self, lines: list[bytes]) -> Stored:
        """Write lines as one object."""
        name = f"{self.name}-{self._count:06d}.jsonl"
        self._count += 1  # a name is used once: an object that seems to have failed may be there, and be sealed
        try:
            with self.folder.fs.open_output_stream(self.folder.path_of(name)) as stream:
                stream.write(b"".join(lines))
        except OSError as error:
            return Stored([], error)
        places = []
        offset = 0
        for line in lines:
            places.append(Place(name, offset, len(line)))
            offset += len(line)
        return Stored(places, None)

    def give_room(self) -> bool:
        """Return False: there is none."""
        return False

    def close(self) -> None:
        """Do nothing: what is written is there."""

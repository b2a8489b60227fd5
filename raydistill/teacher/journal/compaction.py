"""Compaction: segments that nobody writes any more, and compacted files of version 1, become one sealed file."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator

import pyarrow.fs as pafs

from raydistill.runtime.errors import storage_error
from raydistill.runtime.files import write_atomically
from raydistill.teacher.journal import marker, parquet_v1, room, sealed, segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.problems import Damage, JournalError
from raydistill.teacher.journal.records import encode, keys_of

LEFTOVER_S = 3600.0  # files that somebody has been writing for so long are those of a dead process
DAMAGED = ".damaged"

Line = tuple[bytes, list[str]]
"""A line and its keys."""


def compact(folder: Folder, damage: list[Damage] | None = None) -> int:
    """Seal the lines of all segments that nobody writes any more; return the number of keys of these lines.

    A file goes when its whole lines are durable in the sealed one; if a part of it is damaged, it stays under a name
    of its own (DAMAGED). A kill in between, or two processes that compact at once (on storage without locks), leave
    copies in two files, which is harmless: keys name contents, and `scan` yields a line once. What dead writers have
    left goes too: room that they reserved, and files that they have not finished.

    Args:
        folder: the journal.
        damage: gets what is not sealed, because it is damaged.

    Raises:
        JournalError: the storage rejects it (a full disk); no line is lost.
    """
    sources = _Sources(folder, [] if damage is None else damage)
    target = folder.path_of(f"sealed-{segments.timestamp()}.zst")
    count = 0
    try:
        lines = sources.lines()
        first = next(lines, None)
        if first is not None:
            with write_atomically(folder.fs, target, durable=True) as stream:
                count = sealed.write(stream, itertools.chain([first], lines))
        sources.remove()
        _remove_leftovers(folder)
    except OSError as error:
        raise JournalError(*storage_error(f"the journal {folder.path}", error)) from None
    finally:
        sources.release()
    return count


class _Sources:
    """The files that may be sealed now; local ones are locked until `release`."""

    def __init__(self, folder: Folder, damage: list[Damage]) -> None:
        self.folder = folder
        self.damage = damage
        self._sealed: list[str] = []
        self._locks: list[int] = []

    def lines(self) -> Iterator[Line]:
        """Yield the whole lines of each file that can be taken, and note its name."""
        for name in self.folder.names():
            is_parquet = parquet_v1.is_parquet(name)
            if not is_parquet and not segments.is_segment(name):
                continue
            if self.folder.is_local and not self._lock(name):
                continue
            with contextlib.suppress(FileNotFoundError):  # its lines are in the sealed file of whoever took it
                if is_parquet:
                    yield from self._parquet_lines(name)
                elif self.folder.is_local or self._is_complete(name):
                    yield from self._segment_lines(name)
                else:
                    continue
                self._sealed.append(name)

    def remove(self) -> None:
        """Delete the files whose lines are sealed; keep the damaged ones under another name."""
        damaged = {item.file for item in self.damage}
        for name in self._sealed:
            path = self.folder.path_of(name)
            with contextlib.suppress(FileNotFoundError):
                if name in damaged:
                    self.folder.fs.move(path, path + DAMAGED)
                else:
                    self.folder.fs.delete_file(path)

    def release(self) -> None:
        """Release the locks."""
        for descriptor in self._locks:
            os.close(descriptor)

    def _lock(self, name: str) -> bool:
        """Lock a local file; return False if a writer or another compaction has it."""
        descriptor = segments.open_locked(self.folder.path_of(name))
        if descriptor is not None:
            self._locks.append(descriptor)
        return descriptor is not None

    def _is_complete(self, name: str) -> bool:
        """Return whether a segment on remote storage is there as a whole: there are no locks to ask."""
        with self.folder.open(name) as stream:
            last_byte = b""
            for line in stream:
                last_byte = line[-1:]
        return last_byte == b"\n"

    def _segment_lines(self, name: str) -> Iterator[Line]:
        for line in segments.read(self.folder, name):
            if line.entry is None:
                self.damage.append(segments.damaged_line(name, line.offset))
            else:
                yield line.content, keys_of(line.entry)

    def _parquet_lines(self, name: str) -> Iterator[Line]:
        for entry in parquet_v1.entries(self.folder, name, self.damage):
            yield encode(entry), keys_of(entry)


def _remove_leftovers(folder: Folder) -> None:
    for name, info in folder.files().items():
        if room.is_room(name):
            is_left = not folder.is_local or room.is_left(folder.path_of(name))
        else:
            is_left = (name.endswith(".part") or marker.is_temporary(name)) and _is_old(info)
        if is_left:
            with contextlib.suppress(FileNotFoundError):
                folder.fs.delete_file(folder.path_of(name))


def _is_old(info: pafs.FileInfo) -> bool:
    return info.mtime_ns is not None and time.time() - info.mtime_ns / 1e9 > LEFTOVER_S

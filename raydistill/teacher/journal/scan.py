"""The journal as a whole, for sums and looks: every reply and every note once, sealed or not."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from raydistill.teacher.journal import parquet_v1, sealed, segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.index import short_key
from raydistill.teacher.journal.problems import Damage, unreadable
from raydistill.teacher.journal.records import Entry, decode, encode, keys_of


def scan(folder: Folder, damage: list[Damage] | None = None) -> Iterator[Entry]:
    """Yield all entries; not for look-ups.

    A line that stands in two files (see `compaction.compact`) comes once.

    Args:
        folder: the journal.
        damage: gets what is left out.

    Raises:
        JournalError: the storage does not give its files.
    """
    if damage is None:
        damage = []
    seen: set[int] = set()
    try:
        for entry in _all(folder, damage):
            identity = _identity(entry)
            if identity not in seen:
                seen.add(identity)
                yield entry
    except OSError as error:
        raise unreadable(folder.path, error) from None


def entries(folder: Folder, name: str, damage: list[Damage]) -> Iterator[Entry]:
    """Yield the entries of one file; none if it is no file of entries.

    Args:
        folder: the journal.
        name: the file.
        damage: gets what is left out.

    Raises:
        FileNotFoundError: it was sealed meanwhile.
    """
    if parquet_v1.is_parquet(name):
        yield from parquet_v1.entries(folder, name, damage)
    elif sealed.is_sealed(name):
        yield from _sealed_entries(folder, name, damage)
    elif segments.is_segment(name):
        for line in segments.read(folder, name):
            if line.entry is None:
                damage.append(segments.damaged_line(name, line.offset))
            else:
                yield line.entry


def _all(folder: Folder, damage: list[Damage]) -> Iterator[Entry]:
    done: set[str] = set()
    has_vanished = True
    while has_vanished:  # a segment that was sealed after the folder was listed: look for the file it went into
        has_vanished = False
        for name in folder.all_files():
            if name in done:
                continue
            done.add(name)
            try:
                yield from entries(folder, name, damage)
            except FileNotFoundError:
                has_vanished = True


def _sealed_entries(folder: Folder, name: str, damage: list[Damage]) -> Iterator[Entry]:
    with folder.open(name, sealed.SCAN_BUFFER_BYTES) as stream:
        for header in sealed.headers(stream, name, damage):
            lines = sealed.read(stream, name, header)
            if isinstance(lines, Damage):
                damage.append(lines)
                continue
            for line in io.BytesIO(lines):
                entry = decode(line)
                if entry is None:
                    damage.append(segments.damaged_line(name, header.offset))
                else:
                    yield entry


def _identity(entry: Entry) -> int:
    """Return what tells an entry from others: of a reply its first key and time, of a note all that it says."""
    keys = keys_of(entry)
    if not keys:
        return hash(encode(entry))
    [time_bits] = struct.unpack("<q", struct.pack("<d", entry["time"]))
    return short_key(keys[0]) ^ int(time_bits)

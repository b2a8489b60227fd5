"""Compaction: segments that nobody writes any more become one Parquet file."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from raydistill.runtime.errors import storage_error
from raydistill.runtime.files import write_atomically
from raydistill.teacher.journal import segments
from raydistill.teacher.journal.folder import Folder, JournalError
from raydistill.teacher.journal.records import ENTRIES, Entry, rows
from raydistill.teacher.journal.scan import segment_tables, table_of

GROUP_ROWS = 512  # rows of a Parquet row group: what one look-up has to decode
WRITE_GROUPS = 16  # row groups that are gathered before they are written


def compact(folder: Folder) -> int:
    """Turn the segments that nobody writes any more into one Parquet file; return the number of samples in it.

    Segments are deleted when their copy is durable. A kill in between, or two processes that compact at once (on
    storage without locks), leave copies in two files, which is harmless: keys name contents, and `scan` counts a
    purchase once.

    Raises:
        JournalError: the storage rejects it (a full disk); the segments stay.
    """
    source = _Segments(folder)
    target = folder.path_of(f"entries-{segments.timestamp()}.parquet")
    try:
        tables = _whole_groups(source.tables())
        first = next(tables, None)
        count = 0
        if first is not None:
            count = _write(folder, target, itertools.chain([first], tables))
        for name in source.taken:
            with contextlib.suppress(FileNotFoundError):
                folder.fs.delete_file(folder.path_of(name))
    except OSError as error:
        raise JournalError(*storage_error(f"the journal {folder.path}", error)) from None
    finally:
        source.release()
    return count


class _Segments:
    """The segments that may be compacted now; local ones are locked until `release`."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.taken: list[str] = []
        self._locks: list[int] = []

    def tables(self) -> Iterator[pa.Table]:
        """Yield the entries (ENTRIES) of each segment that can be taken, and note its name."""
        for name in self.folder.names():
            if not segments.is_segment(name):
                continue
            if self.folder.is_local:
                yield from self._local_tables(name)
            else:
                yield from self._object_tables(name)

    def release(self) -> None:
        """Release the locks."""
        for descriptor in self._locks:
            os.close(descriptor)

    def _local_tables(self, name: str) -> Iterator[pa.Table]:
        descriptor = segments.open_locked(self.folder.path_of(name))
        if descriptor is None:
            return
        self._locks.append(descriptor)
        self.taken.append(name)
        yield from segment_tables(self.folder, name)

    def _object_tables(self, name: str) -> Iterator[pa.Table]:
        """Yield a remote segment (a few hundred lines) if it is there and complete: there are no locks to ask."""
        entries: list[Entry] = []
        try:
            for _, entry in segments.read(self.folder, name):
                if entry is None:  # still being written
                    return
                entries.append(entry)
        except FileNotFoundError:  # its entries are in the Parquet file of whoever took it
            return
        if not entries:
            return
        self.taken.append(name)
        yield table_of([row for entry in entries for row in rows(entry)])


def _whole_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Gather tables into larger ones, so that every row group but the last is full."""
    gathered: list[pa.Table] = []
    row_count = 0
    for table in tables:
        gathered.append(table)
        row_count += table.num_rows
        if row_count >= WRITE_GROUPS * GROUP_ROWS:
            whole = pa.concat_tables(gathered).combine_chunks()
            full = row_count // GROUP_ROWS * GROUP_ROWS
            yield whole.slice(0, full)
            gathered = [whole.slice(full)]
            row_count -= full
    if row_count:
        yield pa.concat_tables(gathered)


def _write(folder: Folder, target: str, tables: Iterator[pa.Table]) -> int:
    """Write `tables` as one Parquet file, whole and durable; return its rows."""
    count = 0
    with (
        write_atomically(folder.fs, target, durable=True) as stream,
        pq.ParquetWriter(stream, ENTRIES, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table, row_group_size=GROUP_ROWS)
            count += table.num_rows
    return count

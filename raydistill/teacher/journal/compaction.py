"""The journal as a whole: going through all entries, sums, and compaction of its segments into Parquet."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raydistill.runtime.errors import storage_error
from raydistill.teacher.journal.records import ENTRIES, rows
from raydistill.teacher.journal.storage import (
    GROUP_ROWS,
    Folder,
    JournalError,
    is_segment,
    lock,
    read_segment,
    short_keys,
    sync,
)


def scan(folder: Folder, columns: list[str]) -> Iterator[pa.Table]:
    """All entries in pieces of a few thousand rows, compacted or not; for sums and looks, not for look-ups.

    An entry that lies in two files (see `compact`) comes once.
    """
    seen: set[int] = set()
    for table in _tables(folder, [*{*columns, "key", "time"}]):
        keys = short_keys(table["key"].combine_chunks())
        purchases = (keys ^ table["time"].to_numpy().view(np.uint64)).tolist()
        if not seen.isdisjoint(purchases):
            table = table.filter(pa.array([purchase not in seen for purchase in purchases]))
        yield table.select(columns)
        seen.update(purchases)


def _tables(folder: Folder, columns: list[str]) -> Iterator[pa.Table]:
    done: set[str] = set()
    vanished = True
    while vanished:  # a segment that was compacted after the folder was listed: look for the file it went into
        vanished = False
        for name in folder.names():
            if name in done:
                continue
            done.add(name)
            if name.endswith(".parquet"):
                with folder.fs.open_input_file(f"{folder.root}/{name}") as stream:
                    for batch in pq.ParquetFile(stream).iter_batches(8192, columns=columns):
                        yield pa.Table.from_batches([batch])
            elif is_segment(name):
                try:
                    for table in _segment_tables(folder, name):
                        yield table.select(columns)
                except FileNotFoundError:
                    vanished = True


def compact(folder: Folder) -> int:
    """Turn the segments that nobody writes any more into one Parquet file; returns the number of samples in it.

    Segments go when their copy is durable. A kill in between, or two who compact at once (where storage has no locks),
    leave copies in two files, which is harmless: keys name contents, and `scan` counts a purchase once.
    """
    done: list[tuple[str, int]] = []
    count = 0
    target = f"{folder.root}/entries-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}"
    writer: pq.ParquetWriter | None = None
    held: list[pa.Table] = []
    try:
        for name in folder.names():
            if not is_segment(name):
                continue
            held_lock = _locked(f"{folder.root}/{name}") if folder.is_local else -1
            tables = _segment_tables(folder, name) if folder.is_local else _object(folder, name)
            if held_lock is None or tables is None:
                continue
            done.append((name, held_lock))
            for table in tables:
                held.append(table)
                if sum(map(len, held)) >= 16 * GROUP_ROWS:
                    writer = writer or _parquet_writer(folder, target)
                    whole = pa.concat_tables(held).combine_chunks()
                    full = len(whole) // GROUP_ROWS * GROUP_ROWS  # so that every group but the last is full
                    writer.write_table(whole.slice(0, full), row_group_size=GROUP_ROWS)
                    count += full
                    held = [whole.slice(full)]
        if any(map(len, held)):
            writer = writer or _parquet_writer(folder, target)
            rest = pa.concat_tables(held)
            writer.write_table(rest, row_group_size=GROUP_ROWS)
            count += len(rest)
        if writer:
            writer.close()
            if folder.is_local:
                sync(f"{target}.part")
            folder.fs.move(f"{target}.part", f"{target}.parquet")
            if folder.is_local:
                sync(folder.root)
        for name, _ in done:
            with contextlib.suppress(FileNotFoundError):
                folder.fs.delete_file(f"{folder.root}/{name}")
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.fs.delete_file(f"{target}.part")
        raise JournalError(*storage_error(f"the journal {folder.path}", error)) from None
    finally:
        for _, held_lock in done:
            if held_lock >= 0:
                os.close(held_lock)
    return count


def spent(folder: Folder, run: str, stage: str = "") -> tuple[float, int]:
    """(USD, tokens) that `run` has bought into this journal so far, in `stage` or in all."""
    usd, tokens = 0.0, 0
    for table in scan(folder, ["run", "stage", "usd", "prompt_tokens", "completion_tokens"]):
        mine = table.filter(pc.equal(table["run"], run))
        mine = mine.filter(pc.equal(mine["stage"], stage)) if stage else mine
        usd += pc.sum(mine["usd"]).as_py() or 0.0
        tokens += sum(pc.sum(mine[name]).as_py() or 0 for name in ("prompt_tokens", "completion_tokens"))
    return usd, tokens


def _segment_tables(folder: Folder, name: str) -> Iterator[pa.Table]:
    held: list[dict[str, Any]] = []
    for _, entry in read_segment(folder, name):
        held += rows(entry) if entry else []
        if len(held) >= 2048:
            yield pa.Table.from_pylist(held, schema=ENTRIES)
            held = []
    if held:
        yield pa.Table.from_pylist(held, schema=ENTRIES)


def _object(folder: Folder, name: str) -> list[pa.Table] | None:
    """A remote segment (a few hundred lines); None where it is still being written, or gone: then its entries are in
    the Parquet file of whoever took it.
    """
    try:
        entries = [entry for _, entry in read_segment(folder, name)]
    except FileNotFoundError:
        return None
    if not entries or None in entries:
        return None
    return [pa.Table.from_pylist([row for entry in entries if entry for row in rows(entry)], schema=ENTRIES)]


def _parquet_writer(folder: Folder, target: str) -> pq.ParquetWriter:
    return pq.ParquetWriter(f"{target}.part", ENTRIES, filesystem=folder.fs, compression="zstd")


def _locked(path: str) -> int | None:
    """A descriptor that holds the segment's lock; None where a writer (or another compaction) has it."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    if lock(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None

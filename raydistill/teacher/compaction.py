"""The journal as a whole: going through all entries, sums, and compaction of its segments into Parquet."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raydistill.teacher.journal import ENTRIES, GROUP_ROWS, Folder, JournalError, read_segment, rows, storage_refused


def scan(folder: Folder, columns: list[str]) -> Iterator[pa.Table]:
    """All entries in pieces of a few thousand rows, compacted or not; for sums and looks, not for look-ups."""
    for name in folder.names():
        if name.endswith(".parquet"):
            with folder.fs.open_input_file(f"{folder.root}/{name}") as stream:
                for batch in pq.ParquetFile(stream).iter_batches(8192, columns=columns):
                    yield pa.Table.from_batches([batch])
        elif name.startswith("segment-") and name.endswith(".jsonl"):
            for table in _segment_tables(folder, name):
                yield table.select(columns)


def compact(folder: Folder) -> int:
    """Turn the segments that nobody writes any more into one Parquet file; returns the number of samples in it.

    A kill in between leaves segments beside their Parquet copy, which is harmless: keys name contents.
    """
    done: list[tuple[str, int]] = []
    count = 0
    target = f"{folder.root}/entries-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}"
    writer: pq.ParquetWriter | None = None
    held: list[pa.Table] = []
    try:
        for name in folder.names():
            if not (name.startswith("segment-") and name.endswith(".jsonl")):
                continue
            lock = _try_lock(f"{folder.root}/{name}") if folder.is_local else 0
            if lock is None:
                continue
            done.append((name, lock))
            for table in _segment_tables(folder, name):
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
                with open(f"{target}.part", "rb") as stream:
                    os.fsync(stream.fileno())
            folder.fs.move(f"{target}.part", f"{target}.parquet")
        for name, _ in done:
            folder.fs.delete_file(f"{folder.root}/{name}")
    except OSError as error:
        raise JournalError(*storage_refused(folder.path, error)) from None
    finally:
        if folder.is_local:
            for _, lock in done:
                os.close(lock)
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


def _parquet_writer(folder: Folder, target: str) -> pq.ParquetWriter:
    return pq.ParquetWriter(f"{target}.part", ENTRIES, filesystem=folder.fs, compression="zstd")


def _try_lock(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except (ImportError, OSError):
        os.close(descriptor)
        return None

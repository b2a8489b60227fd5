"""The journal as a whole, for sums and looks: all entries once, compacted or not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raydistill.tables import Row
from raydistill.teacher import stage_names
from raydistill.teacher.journal import segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.index import short_keys
from raydistill.teacher.journal.records import ENTRIES, rows
from raydistill.teacher.limits.budget import Amount

CHUNK_ROWS = 8192
SEGMENT_CHUNK_ROWS = 2048


def scan(folder: Folder, columns: list[str]) -> Iterator[pa.Table]:
    """Yield all entries in tables of a few thousand rows, with `columns` of ENTRIES; not for look-ups.

    An entry that lies in two files (see `compaction.compact`) comes once.
    """
    seen: set[int] = set()
    for table in _tables(folder, [*columns, *_missing(columns, ["key", "time"])]):
        keys = short_keys(table["key"].combine_chunks())
        purchases = (keys ^ table["time"].to_numpy().view(np.uint64)).tolist()
        if not seen.isdisjoint(purchases):
            is_new = [purchase not in seen for purchase in purchases]
            table = table.filter(pa.array(is_new))
        yield table.select(columns)
        seen.update(purchases)


def spent(folder: Folder, run: str, stage: str = "") -> Amount:
    """Return what `run` has bought into this journal so far, in `stage` or in all stages."""
    usd = 0.0
    tokens = 0
    names = pa.array(stage_names.names(stage))
    for table in scan(folder, ["run", "stage", "usd", "prompt_tokens", "completion_tokens"]):
        own_rows = table.filter(pc.equal(table["run"], run))
        if stage:
            own_rows = own_rows.filter(pc.is_in(own_rows["stage"], value_set=names))
        usd += pc.sum(own_rows["usd"]).as_py() or 0.0
        tokens += pc.sum(own_rows["prompt_tokens"]).as_py() or 0
        tokens += pc.sum(own_rows["completion_tokens"]).as_py() or 0
    return Amount(usd, tokens)


def segment_tables(folder: Folder, name: str) -> Iterator[pa.Table]:
    """Yield a segment's whole lines as tables of ENTRIES, a few thousand rows each.

    Raises:
        FileNotFoundError: the segment was compacted meanwhile.
    """
    gathered: list[Row] = []
    for _, entry in segments.read(folder, name):
        if entry is not None:
            gathered.extend(rows(entry))
        if len(gathered) >= SEGMENT_CHUNK_ROWS:
            yield table_of(gathered)
            gathered = []
    if gathered:
        yield table_of(gathered)


def table_of(entry_rows: list[Row]) -> pa.Table:
    """Return rows (`records.rows`) as a table of ENTRIES."""
    return pa.Table.from_pylist(entry_rows, schema=ENTRIES)


def _missing(columns: list[str], needed: list[str]) -> list[str]:
    return [name for name in needed if name not in columns]


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
                yield from _parquet_tables(folder, name, columns)
            elif segments.is_segment(name):
                try:
                    for table in segment_tables(folder, name):
                        yield table.select(columns)
                except FileNotFoundError:
                    vanished = True


def _parquet_tables(folder: Folder, name: str, columns: list[str]) -> Iterator[pa.Table]:
    with folder.fs.open_input_file(folder.path_of(name)) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(CHUNK_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])

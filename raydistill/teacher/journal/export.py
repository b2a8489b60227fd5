"""A journal as one Parquet table, to look at and to reconcile a bill with; nothing reads it back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from raydistill.runtime import files
from raydistill.runtime.errors import UserError, storage_error
from raydistill.tables import Row
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.problems import Damage
from raydistill.teacher.journal.readings import ENTRIES, rows
from raydistill.teacher.journal.records import keys_of
from raydistill.teacher.journal.scan import scan

GROUP_ROWS = 8192


def export(folder: Folder, file: str, damage: list[Damage]) -> int:
    """Write all samples of a journal as rows of ENTRIES, with page checksums; return their number.

    Args:
        folder: the journal.
        file: a path or a `pyarrow.fs` URI; what is there is replaced.
        damage: gets what is left out.

    Raises:
        JournalError: the journal cannot be read.
        UserError: the file cannot be written.
    """
    count = 0
    samples = _samples(folder, damage)
    try:
        fs, path = files.filesystem(file)
        with (
            files.write_atomically(fs, path) as stream,
            pq.ParquetWriter(stream, ENTRIES, compression="zstd", write_page_checksum=True) as writer,
        ):
            while group := list(itertools.islice(samples, GROUP_ROWS)):
                writer.write_table(pa.Table.from_pylist(group, schema=ENTRIES))
                count += len(group)
    except (OSError, pa.ArrowInvalid) as error:
        failure = error if isinstance(error, OSError) else OSError(str(error))
        raise UserError(*storage_error(file, failure)) from None
    return count


def _samples(folder: Folder, damage: list[Damage]) -> Iterator[Row]:
    for entry in scan(folder, damage):
        if keys_of(entry):
            yield from rows(entry)

"""Compacted files of version 1: a row for each sample, in Parquet without checksums. They are read, and never written.

What cannot be read is left out by name: a group of rows, or a row whose columns make no sense.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from raydistill.tables import Row
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.problems import Damage
from raydistill.teacher.journal.records import Entry

_LABELS = ("run", "session", "stage", "task", "kind")
_SCHEMA = pa.schema(
    [
        ("key", pa.binary(32)),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),  # of the response, on its first sample; 0 on the others
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),  # the response's, divided evenly; the first sample has the remainder
        ("usd", pa.float64()),  # of the response, on its first sample; null: no known price
        ("attempts", pa.int32()),
        ("response", pa.binary(32)),  # key of the response's first sample
        *((label, pa.string()) for label in _LABELS),
        ("model", pa.string()),
        ("time", pa.float64()),
        ("request", pa.string()),  # canonical JSON, on the first sample
    ]
)
_DAMAGED = (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, pa.ArrowException)
"""What Arrow raises over damaged bytes."""
_BLOCK_BYTES = 1 << 24


def is_parquet(name: str) -> bool:
    """Return True if `name` is that of a compacted file of version 1."""
    return name.startswith("entries-") and name.endswith(".parquet")


def entries(folder: Folder, name: str, damage: list[Damage]) -> Iterator[Entry]:
    """Yield the responses of a compacted file, as version 1 wrote them into its lines.

    Args:
        folder: the journal.
        name: the file.
        damage: gets what is left out.

    Raises:
        FileNotFoundError: it was sealed meanwhile.
        OSError: the storage does not give its bytes.
    """
    response: list[Row] = []
    for row in _rows(folder, name, damage):
        if response and row["response"] != response[0]["response"]:
            yield _entry(response)
            response = []
        response.append(row)
    if response:
        yield _entry(response)


def _rows(folder: Folder, name: str, damage: list[Damage]) -> Iterator[Row]:
    """Yield the rows that can be read."""
    with folder.fs.open_input_file(folder.path_of(name)) as stream:
        try:
            file = pq.ParquetFile(stream)
        except _DAMAGED as error:
            _raise_if_storage_fails(stream)
            damage.append(Damage(name, 0, f"no Parquet file that can be read ({_words(error)})"))
            return
        for group in range(file.num_row_groups):
            offset = file.metadata.row_group(group).column(0).data_page_offset
            try:
                rows = file.read_row_group(group).select(_SCHEMA.names).cast(_SCHEMA).to_pylist()
            except _DAMAGED as error:
                _raise_if_storage_fails(stream)
                damage.append(Damage(name, offset, f"row group {group} cannot be read ({_words(error)})"))
                continue
            for row in rows:
                if any(row[column] is None for column in _SCHEMA.names if column != "usd"):
                    damage.append(Damage(name, offset, f"a row of row group {group} lacks columns"))
                else:
                    yield row


def _entry(rows: list[Row]) -> Entry:
    """Return the entry of a response; if the row group of its first rows is damaged, with what the others hold."""
    first = rows[0]
    entry: dict[str, Any] = {
        "keys": [row["key"].hex() for row in rows],
        "texts": [row["text"] for row in rows],
        "finish": [row["finish_reason"] for row in rows],
        "usage": [first["prompt_tokens"], first["cached_tokens"], sum(row["completion_tokens"] for row in rows)],
        "usd": first["usd"],
        "attempts": first["attempts"],
        "time": first["time"],
    }
    for label in _LABELS:
        entry[label] = first[label]
    entry["request"] = _request(first)
    return cast(Entry, entry)


def _request(first: Row) -> dict[str, Any]:
    try:
        return dict(json.loads(first["request"]))
    except (ValueError, TypeError):  # it stood in a row group that is damaged
        return {"model": first["model"]}


def _raise_if_storage_fails(stream: pa.NativeFile) -> None:
    """Raise OSError if the bytes cannot be had at all: then it is not they that are damaged."""
    stream.seek(0)
    while stream.read(_BLOCK_BYTES):
        pass


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:120]}"

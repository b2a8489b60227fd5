"""Rows of a question file as they are: JSONL, CSV, Parquet or a Hugging Face data set, each with its place."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from raydistill.runtime.errors import QuestionsError
from raydistill.runtime.formatting import first_line

SPLITS = ("train", "test", "test_unseen")

log = logging.getLogger(__name__)


class SourceRow(NamedTuple):
    """A row that is not checked yet."""

    where: str
    """File and line, or row, for error messages."""
    fields: dict[str, Any]


def read_rows(source: str, split_column: str) -> Iterator[SourceRow]:
    """Yield the rows of a file or data set in order.

    Args:
        source: a path, or hf://NAME[:SUBSET].
        split_column: the field that says train or test; of a data set with such splits it is filled in.

    Raises:
        QuestionsError: the source cannot be read; the text names file and line.
    """
    if source.startswith("hf://"):
        yield from _hub_rows(source, split_column)
        return
    path = Path(source).expanduser()
    if not path.is_file():
        raise QuestionsError(f"{source} (setting questions.file) is no file.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise QuestionsError(
            f"{source} (setting questions.file) is neither .jsonl, .csv nor .parquet.",
            "Convert it, or name a Hugging Face data set as hf://NAME.",
        )
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise QuestionsError(f"{source} is not UTF-8 text (byte {error.start}).", "Convert it to UTF-8.") from None
    except (OSError, pa.ArrowException) as error:
        raise QuestionsError(f"{source} cannot be read: {error}") from None


def _json_rows(path: Path) -> Iterator[SourceRow]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise QuestionsError(f"{where}: not JSON ({error}).", "Each line is one JSON object.") from None
            if not isinstance(fields, dict):
                raise QuestionsError(f"{where}: a JSON {type(fields).__name__}, expected an object.")
            yield SourceRow(where, fields)


def _csv_rows(path: Path) -> Iterator[SourceRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if None in fields:
                    raise QuestionsError(
                        f"{where}: more fields than the header has.", "Put texts with commas into double quotes."
                    )
                yield SourceRow(where, fields)
        except csv.Error as error:
            raise QuestionsError(f"{path}, line {reader.line_num}: not CSV ({error}).") from None


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for fields in batch.to_pylist():
                yield SourceRow(f"{path}, row {number} (from 0)", fields)
                number += 1


_READERS = {".jsonl": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}


def _hub_rows(source: str, split_column: str) -> Iterator[SourceRow]:
    data_set = _load_data_set(source)
    parts = {part: rows for part, rows in data_set.items() if part in SPLITS}
    others = [str(part) for part in data_set if part not in SPLITS]
    if not parts:
        parts = data_set
    elif others:
        log.warning("%s: split %s is left out", source, ", ".join(others))
    says_split = len(parts) > 1 and set(parts) <= set(SPLITS)
    for part, rows in parts.items():
        split_field = {split_column: part} if says_split else {}
        for number, fields in enumerate(rows):
            yield SourceRow(f"{source}, {part} row {number} (from 0)", {**fields, **split_field})


def _load_data_set(source: str) -> dict[str, Any]:
    """Return the splits of a Hugging Face data set, by name."""
    try:
        import datasets
    except ImportError:
        raise QuestionsError(
            f"{source} (setting questions.file) needs the package datasets.", "pip install datasets"
        ) from None
    name, _, subset = source.removeprefix("hf://").partition(":")
    try:
        return dict(datasets.load_dataset(name, subset or None))
    except Exception as error:  # the library raises many kinds, from ValueError to HTTP errors
        raise QuestionsError(
            f"{source} cannot be loaded: {first_line(error)}", "Check name, subset and network."
        ) from None

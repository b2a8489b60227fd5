"""The user's own questions: JSONL, CSV, Parquet or a Hugging Face data set, checked row by row."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from raydistill.config import ColumnSettings
from raydistill.method import answers
from raydistill.method.answer_types import AnswerType
from raydistill.runtime.errors import QuestionsError
from raydistill.tasks.items import Item, letter, with_choices

log = logging.getLogger(__name__)

SPLITS = ("train", "test", "test_unseen")
MOST_CHOICES = 26
_EXPECTED: dict[str, str] = {
    "number": 'one number such as 43, "1,200.50" or "3/4"',
    "letter": "the letter of an option (A, B, …) or an option's text",
    "yes_no": "yes or no",
    "letters": "one word of letters",
    "text": "a text that is not empty",
}


class Row(NamedTuple):
    item: Item
    split: str | None
    """None: the file does not say."""
    number: int
    """Row in the source, from 0."""


def read(source: str, answer_type: AnswerType, columns: ColumnSettings) -> list[Row]:
    """All questions of `source` in order. Repetitions of a question are left out, and counted in a warning.

    Raises:
        QuestionsError: the source cannot be read, or a row is not a question with an answer of that type; the text
            names file and line (or row, from 0).
    """
    rows: list[Row] = []
    first: dict[str, tuple[str, Item]] = {}
    repeated: list[str] = []
    for number, (where, fields) in enumerate(_rows(source, columns.split)):
        row = Row(_item(fields, answer_type, columns, where), _split(fields, columns, where), number)
        earlier = first.setdefault(" ".join(row.item.question.split()), (where, row.item))
        if earlier[0] == where:
            rows.append(row)
        elif answers.is_correct(row.item.answer, earlier[1].answer, answer_type=answer_type):
            repeated.append(f"{where} repeats {earlier[0].rpartition(', ')[2]}")
        else:
            raise QuestionsError(
                f"{where}: the question of {earlier[0].rpartition(', ')[2]} again, with the answer "
                f"{row.item.answer!r} instead of {earlier[1].answer!r}.",
                "Keep the right one.",
            )
    if not rows:
        raise QuestionsError(f"{source} holds no questions.")
    if repeated:
        log.warning("%d repeated questions left out (%s)", len(repeated), repeated[0])
    marked = sum(row.split is not None for row in rows)
    if 0 < marked < len(rows):
        lacking = next(row.number for row in rows if row.split is None)
        raise QuestionsError(
            f'{source}: {marked} of {len(rows)} questions have a "{columns.split}", row {lacking} (from 0) has none.',
            "Give all rows a split or none.",
        )
    if not marked and columns.split != ColumnSettings().split:
        raise QuestionsError(f'{source} has no column "{columns.split}" (setting questions.columns.split).')
    return rows


def _rows(source: str, split_column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, fields) of each row; `where` names file and line, or row."""
    if source.startswith("hf://"):
        yield from _hub_rows(source, split_column)
        return
    path = Path(source).expanduser()
    if not path.is_file():
        raise QuestionsError(f"{source} (setting questions.file) is no file.")
    reader = {".jsonl": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}.get(path.suffix.lower())
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


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
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
            yield where, fields


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if None in fields:
                    raise QuestionsError(
                        f"{where}: more fields than the header has.", "Put texts with commas into double quotes."
                    )
                yield where, fields
        except csv.Error as error:
            raise QuestionsError(f"{path}, line {reader.line_num}: not CSV ({error}).") from None


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with pq.ParquetFile(path) as file:
        rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
        yield from ((f"{path}, row {number} (from 0)", row) for number, row in enumerate(rows))


def _hub_rows(source: str, split_column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import datasets
    except ImportError:
        raise QuestionsError(
            f"{source} (setting questions.file) needs the package datasets.", "pip install datasets"
        ) from None
    name, _, subset = source.removeprefix("hf://").partition(":")
    try:
        loaded = datasets.load_dataset(name, subset or None)
    except Exception as error:  # the library raises many kinds, from ValueError to HTTP errors
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise QuestionsError(f"{source} cannot be loaded: {problem}", "Check name, subset and network.") from None
    parts = {part: rows for part, rows in loaded.items() if part in SPLITS}
    if left_out := [part for part in loaded if part not in SPLITS]:
        if not parts:
            parts = dict(loaded)
        else:
            log.warning("%s: split %s is left out", source, ", ".join(map(str, left_out)))
    for part, rows in parts.items():
        given = {split_column: part} if len(parts) > 1 and set(parts) <= set(SPLITS) else {}
        for number, fields in enumerate(rows):
            yield f"{source}, {part} row {number} (from 0)", {**fields, **given}


def _split(fields: dict[str, Any], columns: ColumnSettings, where: str) -> str | None:
    value = fields.get(columns.split)
    if value is None or value == "":
        return None
    if (split := str(value).strip().lower()) not in SPLITS:
        raise QuestionsError(f'{where}: "{columns.split}" is {value!r}, expected train or test.')
    return split


def _item(fields: dict[str, Any], answer_type: AnswerType, columns: ColumnSettings, where: str) -> Item:
    question = _field(fields, columns.question, "question", where)
    if not isinstance(question, str) or not question.strip():
        raise QuestionsError(f'{where}: "{columns.question}" is {question!r}, expected the question\'s text.')
    question = question.strip()
    choices = _choices(fields, columns, where) if answer_type == "letter" else ()
    answer = _field(fields, columns.answer, "answer", where)
    gold = _gold(answer, answer_type, choices)
    if gold is None:
        expected = _EXPECTED[answer_type] + (f" of {list(choices)}" if choices else "")
        raise QuestionsError(f'{where}: "{columns.answer}" is {answer!r}, expected {expected}.')
    if choices and "(A)" not in question:  # the teacher must see the options
        question = with_choices(question, choices)
    return Item(question, gold, choices)


def _field(fields: dict[str, Any], column: str, setting: str, where: str) -> Any:
    if column not in fields:
        raise QuestionsError(
            f'{where}: there is no "{column}", only {", ".join(map(repr, fields))}.',
            f"Name the right column in questions.columns.{setting}.",
        )
    return fields[column]


def _choices(fields: dict[str, Any], columns: ColumnSettings, where: str) -> tuple[str, ...]:
    value = _field(fields, columns.choices, "choices", where)
    texts = value.split("|") if isinstance(value, str) else value
    if not isinstance(texts, list) or not 2 <= len(texts) <= MOST_CHOICES:
        raise QuestionsError(
            f'{where}: "{columns.choices}" is {value!r}, expected 2 to {MOST_CHOICES} option texts.',
            'A list, or one text parted by "|".',
        )
    choices = tuple(str(text).strip() for text in texts)
    if len(set(choices)) < len(choices) or not all(choices):
        raise QuestionsError(f'{where}: "{columns.choices}" has an empty or repeated option: {value!r}.')
    return choices


def _gold(value: Any, answer_type: AnswerType, choices: tuple[str, ...]) -> str | None:
    """The gold answer as text; None: it is not of the type."""
    if answer_type == "yes_no" and isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    text = str(value).strip()
    plain = answers.canonical(text, answer_type)
    if answer_type == "letter":
        if text in choices:
            return letter(choices.index(text))
        return plain if "A" <= plain <= letter(len(choices) - 1) and len(plain) == 1 else None
    if answer_type == "text":
        return text if plain else None
    if answer_type == "yes_no":
        return text.lower() if text.lower() in ("yes", "no") else None
    if answer_type == "letters":
        return text if text.isalpha() else None
    if answers.extract(text, answer_type="number") is None:
        return None
    # As written where any program can read it ("43.0"), else in plain digits ("1,200 dollars" → "1200").
    try:
        float(text)
    except ValueError:
        return plain
    return text

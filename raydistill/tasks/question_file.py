"""The user's own questions, checked row by row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from raydistill.config import ColumnSettings
from raydistill.method.answer_readers.options import MOST_OPTIONS
from raydistill.method.answer_types import ANSWER_TYPES, AnswerType
from raydistill.method.questions import Question, with_choices
from raydistill.runtime.errors import QuestionsError
from raydistill.tasks.question_sources import SPLITS, SourceRow, read_rows

log = logging.getLogger(__name__)


class FileQuestion(NamedTuple):
    """A question of the user's file."""

    question: Question
    split: str | None
    """None: the file does not say."""
    source_row: int
    """Row in the source, from 0."""
    where: str
    """File and line, or row."""


def read(source: str, answer_type: str, columns: ColumnSettings) -> list[FileQuestion]:
    """Read all questions of `source` in order. Repetitions of a question are left out, and counted in a warning.

    Raises:
        QuestionsError: the source cannot be read, or a row is not a question with an answer of that type; the text
            names file and line (or row, from 0).
    """
    parser = _Parser(ANSWER_TYPES[answer_type], columns)
    rows: list[FileQuestion] = []
    first_by_text: dict[str, FileQuestion] = {}
    repetitions: list[str] = []
    for number, source_row in enumerate(read_rows(source, columns.split)):
        row = parser.parse(source_row, number)
        first = first_by_text.setdefault(" ".join(row.question.text.split()), row)
        if first is row:
            rows.append(row)
        else:
            _check_repetition(row, first, parser.answer_type)
            repetitions.append(f"{row.where} repeats {_line(first)}")
    if not rows:
        raise QuestionsError(f"{source} holds no questions.")
    if repetitions:
        log.warning("%d repeated questions left out (%s)", len(repetitions), repetitions[0])
    _check_splits(rows, source, columns.split)
    return rows


def _check_repetition(row: FileQuestion, first: FileQuestion, answer_type: AnswerType) -> None:
    """Reject a repeated question with another answer."""
    if not answer_type.same(row.question.answer, first.question.answer):
        raise QuestionsError(
            f"{row.where}: the question of {_line(first)} again, with the answer {row.question.answer!r} instead of "
            f"{first.question.answer!r}.",
            "Keep the right one.",
        )


def _check_splits(rows: list[FileQuestion], source: str, column: str) -> None:
    """Reject a file in which only some questions have a split, or none although the settings name its column."""
    without_split = [row.source_row for row in rows if row.split is None]
    marked = len(rows) - len(without_split)
    if marked and without_split:
        raise QuestionsError(
            f'{source}: {marked} of {len(rows)} questions have a "{column}", row {without_split[0]} (from 0) has none.',
            "Give all rows a split or none.",
        )
    if not marked and column != ColumnSettings().split:
        raise QuestionsError(f'{source} has no column "{column}" (setting questions.columns.split).')


def _line(row: FileQuestion) -> str:
    """Return the place of a row without its file."""
    return row.where.rpartition(", ")[2]


class _Parser:
    """Turns rows of one file into questions."""

    def __init__(self, answer_type: AnswerType, columns: ColumnSettings) -> None:
        self.answer_type = answer_type
        self.columns = columns

    def parse(self, row: SourceRow, number: int) -> FileQuestion:
        text = self._text(row)
        choices = self._choices(row) if self.answer_type.has_options else ()
        gold = self._gold(row, choices)
        if choices and "(A)" not in text:  # the teacher must see the options
            text = with_choices(text, choices)
        return FileQuestion(Question(text, gold, choices), self._split(row), number, row.where)

    def _text(self, row: SourceRow) -> str:
        text = _field(row, self.columns.question, "question")
        if not isinstance(text, str) or not text.strip():
            raise QuestionsError(f'{row.where}: "{self.columns.question}" is {text!r}, expected the question\'s text.')
        return text.strip()

    def _choices(self, row: SourceRow) -> tuple[str, ...]:
        column = self.columns.choices
        value = _field(row, column, "choices")
        texts = value.split("|") if isinstance(value, str) else value
        if not isinstance(texts, list) or not 2 <= len(texts) <= MOST_OPTIONS:
            raise QuestionsError(
                f'{row.where}: "{column}" is {value!r}, expected 2 to {MOST_OPTIONS} option texts.',
                'A list, or one text parted by "|".',
            )
        choices = tuple(str(text).strip() for text in texts)
        if len(set(choices)) < len(choices) or not all(choices):
            raise QuestionsError(f'{row.where}: "{column}" has an empty or repeated option: {value!r}.')
        return choices

    def _gold(self, row: SourceRow, choices: tuple[str, ...]) -> str:
        value = _field(row, self.columns.answer, "answer")
        gold = self.answer_type.parse_gold(value, choices)
        if gold is None:
            options = f" of {list(choices)}" if choices else ""
            expected = self.answer_type.description + options
            raise QuestionsError(f'{row.where}: "{self.columns.answer}" is {value!r}, expected {expected}.')
        return gold

    def _split(self, row: SourceRow) -> str | None:
        value = row.fields.get(self.columns.split)
        if value is None or value == "":
            return None
        split = str(value).strip().lower()
        if split not in SPLITS:
            raise QuestionsError(f'{row.where}: "{self.columns.split}" is {value!r}, expected train or test.')
        return split


def _field(row: SourceRow, column: str, setting: str) -> object:
    fields: Mapping[str, object] = row.fields
    if column not in fields:
        names = ", ".join(repr(name) for name in fields)
        raise QuestionsError(
            f'{row.where}: there is no "{column}", only {names}.',
            f"Name the right column in questions.columns.{setting}.",
        )
    return fields[column]

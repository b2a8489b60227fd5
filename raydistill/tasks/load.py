"""Questions from wherever the settings say, as one table."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from raydistill.config import QuestionSettings
from raydistill.method.answer_types import AnswerType
from raydistill.runtime.errors import QuestionsError
from raydistill.tables import QUESTIONS
from raydistill.tasks import download, generated, published, question_file, splits
from raydistill.tasks.items import Item

log = logging.getLogger(__name__)

FELL_BACK = b"raydistill.generated"
"""Key in the table's schema metadata: the tasks (joined by ",") whose published file could not be had under `source:
auto`, so that their questions were generated."""


def load_questions(settings: QuestionSettings, seed: int) -> pa.Table:
    """All questions of `settings` with their splits (schema `tables.QUESTIONS`), by task and source row.

    The same settings and seed always give the same rows. `seed` chooses generated questions, unseen flip patterns and
    the split of an own file; the benchmarks' splits are the published ones.

    Raises:
        QuestionsError: a file is missing, malformed or cannot be downloaded, or settings do not go together.
    """
    _check(settings)
    fell_back: list[str] = []
    tables = [_benchmark(task, settings, seed, fell_back) for task in dict.fromkeys(settings.tasks)]
    if settings.file is not None:
        tables.append(_own(settings, seed))
    return pa.concat_tables(tables).replace_schema_metadata({FELL_BACK: ",".join(fell_back)} if fell_back else None)


def question_id(task: str, source_row: int, question: str) -> str:
    """16 hex digits that stay the same as long as the question does."""
    return hashlib.sha256(f"{task}\n{source_row}\n{question}".encode()).hexdigest()[:16]


def _check(settings: QuestionSettings) -> None:
    if settings.split == "template":
        without = [task for task in settings.tasks if task not in published.TEMPLATE_TASKS]
        if without or settings.source == "generated":
            raise QuestionsError(
                f"questions.split is template, which {', '.join(without) or 'generated questions'} do not have.",
                f"Published template splits exist for {' and '.join(published.TEMPLATE_TASKS)}.",
            )
    if settings.file is not None and settings.name in published.BENCHMARKS:
        raise QuestionsError(f"questions.name is {settings.name}, the name of a benchmark.", "Choose another name.")


def _benchmark(task: str, settings: QuestionSettings, seed: int, fell_back: list[str]) -> pa.Table:
    items = _items(task, settings, seed, fell_back)
    if task == "coin_flip" and settings.unseen_patterns:
        split = splits.unseen_pattern_split(items, settings.unseen_patterns, seed)
    elif settings.split == "template":
        split = published.template_split(task)
    else:
        split = splits.random_split(len(items))
    return _table(task, published.BENCHMARKS[task].answer_type, items, split, range(len(items)), settings)


def _items(task: str, settings: QuestionSettings, seed: int, fell_back: list[str]) -> list[Item]:
    size, count = settings.generated_size, settings.generated_items
    can_generate = task in generated.TASKS
    if settings.source == "generated":
        return generated.generate(task, size, count, seed)
    defaults = QuestionSettings.model_fields
    asked_for_others = (size, count) != (defaults["generated_size"].default, defaults["generated_items"].default)
    if settings.source == "auto" and can_generate and asked_for_others:
        return generated.generate(task, size, count, seed)
    try:
        return published.items(task)
    except download.Unavailable as error:
        if settings.source == "published" or not can_generate:
            raise
        log.warning("%s: the published file cannot be had, the questions are generated. %s", task, error.message)
        fell_back.append(task)
        return generated.generate(task, size, count, seed)


def _own(settings: QuestionSettings, seed: int) -> pa.Table:
    assert settings.file is not None
    assert settings.answer_type is not None
    rows = question_file.read(settings.file, settings.answer_type, settings.columns)
    split = [row.split for row in rows if row.split] or splits.random_split(len(rows), settings.test_fraction, seed)
    if "train" not in split:
        raise QuestionsError(f"{settings.file} has no train questions.", "Mark some rows train, or give more rows.")
    items, source = [row.item for row in rows], [row.number for row in rows]
    return _table(settings.name, settings.answer_type, items, split, source, settings)


def _table(
    task: str,
    answer_type: AnswerType,
    items: Sequence[Item],
    split: Sequence[str],
    source_rows: Sequence[int],
    settings: QuestionSettings,
) -> pa.Table:
    limits = {"train": settings.limit_train}
    taken: Counter[str] = Counter()
    rows = []
    for item, where, source_row in zip(items, split, source_rows, strict=True):
        limit = limits.get(where, settings.limit_test)
        taken[where] += 1
        if limit is None or taken[where] <= limit:
            rows.append(
                {
                    "task": task,
                    "split": where,
                    "question_id": question_id(task, source_row, item.question),
                    "question": item.question,
                    "answer": item.answer,
                    "answer_type": answer_type,
                    "choices": list(item.choices),
                    "source_row": source_row,
                }
            )
    return pa.Table.from_pylist(rows, schema=QUESTIONS)

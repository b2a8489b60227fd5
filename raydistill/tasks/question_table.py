"""Questions from wherever the settings say, as one table."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from raydistill.config import QuestionSettings
from raydistill.method.benchmarks import BENCHMARKS
from raydistill.method.questions import Question
from raydistill.runtime.errors import QuestionsError
from raydistill.tables import QUESTIONS
from raydistill.tasks import download, generated, published, question_file, splits

log = logging.getLogger(__name__)

FELL_BACK = b"raydistill.generated"
"""Key in the table's schema metadata: the tasks (joined by ",") whose published file could not be had under `source:
auto`, so that their questions were generated."""


def load_questions(settings: QuestionSettings, seed: int) -> pa.Table:
    """Load all questions of `settings` with their splits (QUESTIONS), by task and source row.

    The same settings and seed always give the same rows. `seed` chooses generated questions, unseen flip patterns and
    the split of an own file; the benchmarks' splits are the published ones.

    Raises:
        QuestionsError: a file is missing, malformed or cannot be downloaded, or settings do not go together.
    """
    _check(settings)
    loader = _Loader(settings, seed)
    tables = [loader.benchmark(task) for task in dict.fromkeys(settings.tasks)]
    if settings.file is not None:
        tables.append(loader.own_file())
    metadata = {FELL_BACK: ",".join(loader.fell_back)} if loader.fell_back else None
    return pa.concat_tables(tables).replace_schema_metadata(metadata)


def question_id(task: str, source_row: int, question: str) -> str:
    """Return 16 hex digits that stay the same as long as the question does."""
    return hashlib.sha256(f"{task}\n{source_row}\n{question}".encode()).hexdigest()[:16]


def _check(settings: QuestionSettings) -> None:
    if settings.split == "template":
        available = published.template_tasks()
        missing = [task for task in settings.tasks if task not in available]
        if missing or settings.source == "generated":
            raise QuestionsError(
                f"questions.split is template, which {', '.join(missing) or 'generated questions'} do not have.",
                f"Published template splits exist for {' and '.join(available)}.",
            )
    if settings.file is not None and settings.name in BENCHMARKS:
        raise QuestionsError(f"questions.name is {settings.name}, the name of a benchmark.", "Choose another name.")


@dataclass
class _Loader:
    settings: QuestionSettings
    seed: int
    fell_back: list[str] = field(default_factory=list)
    """Tasks whose questions were generated because their file could not be had."""

    def benchmark(self, task: str) -> pa.Table:
        """Return the questions of a benchmark, published or generated."""
        questions = self._benchmark_questions(task)
        if task == "coin_flip" and self.settings.unseen_patterns:
            split = splits.unseen_pattern_split(questions, self.settings.unseen_patterns, self.seed)
        elif self.settings.split == "template":
            split = published.template_split(task)
        else:
            split = splits.random_split(len(questions))
        source_rows = range(len(questions))
        return self._table(task, BENCHMARKS[task].answer_type, questions, split, source_rows)

    def own_file(self) -> pa.Table:
        """Return the questions of the user's file."""
        settings = self.settings
        assert settings.file is not None
        assert settings.answer_type is not None
        rows = question_file.read(settings.file, settings.answer_type, settings.columns)
        split = [row.split for row in rows if row.split]
        if not split:
            split = splits.random_split(len(rows), settings.test_fraction, self.seed)
        if "train" not in split:
            raise QuestionsError(f"{settings.file} has no train questions.", "Mark some rows train, or give more rows.")
        questions = [row.question for row in rows]
        source_rows = [row.source_row for row in rows]
        return self._table(settings.name, settings.answer_type, questions, split, source_rows)

    def _benchmark_questions(self, task: str) -> list[Question]:
        source = self.settings.source
        can_generate = task in generated.TASKS
        if source == "generated" or (source == "auto" and can_generate and self._wants_other_sizes()):
            return self._generate(task)
        try:
            return published.questions(task)
        except download.Unavailable as error:
            if source == "published" or not can_generate:
                raise
            log.warning("%s: the published file cannot be had, the questions are generated. %s", task, error.message)
            self.fell_back.append(task)
            return self._generate(task)

    def _wants_other_sizes(self) -> bool:
        """Return True if the settings ask for questions that the published files do not have."""
        defaults = QuestionSettings()
        own = (self.settings.generated_size, self.settings.generated_items)
        return own != (defaults.generated_size, defaults.generated_items)

    def _generate(self, task: str) -> list[Question]:
        return generated.generate(task, self.settings.generated_size, self.settings.generated_items, self.seed)

    def _table(
        self,
        task: str,
        answer_type: str,
        questions: Sequence[Question],
        split: Sequence[str],
        source_rows: Sequence[int],
    ) -> pa.Table:
        """Return QUESTIONS rows, at most as many per split as the settings allow."""
        counts: Counter[str] = Counter()
        rows = []
        for question, where, source_row in zip(questions, split, source_rows, strict=True):
            limit = self.settings.limit_train if where == "train" else self.settings.limit_test
            counts[where] += 1
            if limit is not None and counts[where] > limit:
                continue
            rows.append(
                {
                    "task": task,
                    "split": where,
                    "question_id": question_id(task, source_row, question.text),
                    "question": question.text,
                    "answer": question.answer,
                    "answer_type": answer_type,
                    "choices": list(question.choices),
                    "source_row": source_row,
                }
            )
        return pa.Table.from_pylist(rows, schema=QUESTIONS)

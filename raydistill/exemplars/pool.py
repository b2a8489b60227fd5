"""The questions of one task that may become exemplars, with their embeddings and zero-shot samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import ExemplarSettings
from raydistill.exemplars.conditions import failures, normalised
from raydistill.exemplars.vectors import Matrix, matrix
from raydistill.method.methods import ZERO_SHOT
from raydistill.runtime.errors import UserError
from raydistill.tables import Row


@dataclass
class Pool:
    """The candidates of one task, in source order."""

    task: str
    questions: pa.Table
    """QUESTIONS, n rows."""
    x: Matrix
    """Their embeddings, n×d."""
    samples: pa.Table
    """SAMPLES of the task: greedy, zero-shot."""
    settings: ExemplarSettings
    _sample_rows: dict[str, int] = field(init=False)
    _failures: dict[tuple[int, bool], dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = self.samples["question_id"].to_pylist()
        self._sample_rows = {question_id: row for row, question_id in enumerate(ids)}

    def question(self, row: int) -> Row:
        """Return row `row` of the questions."""
        return self.questions.slice(row, 1).to_pylist()[0]

    def question_id(self, row: int) -> str:
        """Return the id of question `row`."""
        return self.questions["question_id"][row].as_py()

    def normalised(self, row: int) -> str:
        """Return what question `row` has in common with those that count as the same."""
        return normalised(self.questions["question"][row].as_py())

    def sample(self, question_id: str) -> Row | None:
        """Return the greedy zero-shot sample of a question; None if there is none."""
        row = self._sample_rows.get(question_id)
        return None if row is None else self.samples.slice(row, 1).to_pylist()[0]

    def failures(self, row: int, must_be_right: bool) -> dict[str, str]:
        """Return why question `row` is no exemplar; looked up once, since most questions are never looked at."""
        key = (row, must_be_right)
        if key not in self._failures:
            question = self.question(row)
            sample = self.sample(question["question_id"])
            self._failures[key] = failures(question, sample, self.settings, must_be_right=must_be_right)
        return self._failures[key]

    def count_different(self, most: int) -> int:
        """Return how many different questions there are, counted up to `most`."""
        texts: set[str] = set()
        for question in self.questions["question"]:
            texts.add(normalised(question.as_py()))
            if len(texts) == most:
                break
        return len(texts)


def make_pool(
    task: str, questions: pa.Table, embeddings: pa.Table, zero_shot: pa.Table, settings: ExemplarSettings
) -> Pool:
    """Pick the candidates of a task out of the tables.

    Args:
        task: the task's name.
        questions: QUESTIONS of all tasks.
        embeddings: EMBEDDINGS of the candidates at least.
        zero_shot: SAMPLES of all tasks; the greedy zero-shot ones count.
        settings: `pool` says which splits are in.

    Raises:
        UserError: the task has no candidate.
    """
    candidates = questions.filter(pc.equal(questions["task"], task))
    if settings.pool == "train":
        candidates = candidates.filter(pc.equal(candidates["split"], "train"))
    if not candidates.num_rows:
        raise UserError(f"Task {task} has no train question to choose exemplars from.", "Set exemplars.pool to all.")
    candidates = candidates.sort_by([("source_row", "ascending"), ("question_id", "ascending")])
    rows = pc.index_in(candidates["question_id"], value_set=embeddings["question_id"])
    if rows.null_count:
        raise ValueError(f"{rows.null_count} questions of task {task} are not embedded")
    x = matrix(embeddings)[np.asarray(rows.to_numpy())]
    is_greedy = (pc.field("degree") == 1) & (pc.field("method") == ZERO_SHOT.name)
    samples = zero_shot.filter((pc.field("task") == task) & is_greedy)
    return Pool(task, candidates, x, samples, settings)

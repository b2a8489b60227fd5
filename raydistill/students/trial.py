"""A trial: one student on one task, and everything that its training needs, wherever that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Affects, StudentSettings
from raydistill.method import answers
from raydistill.runtime.files import identity
from raydistill.runtime.stage_formats import STAGE_FORMATS
from raydistill.runtime.store import content_hash, fingerprint


class GridPoint(NamedTuple):
    """One point of the grid of students."""

    student: str
    """As named in the settings."""
    location: str
    """Folder or hub id of the base weights."""
    task: str
    method: str
    degree: int
    seed: int


@dataclass(frozen=True)
class Trial:
    """One point of the grid, with its rows."""

    key: str
    """Hash of everything that the trained weights depend on."""
    task: str
    method: str
    degree: int
    student: str
    """As named in the settings."""
    location: str
    """Folder or hub id of the base weights."""
    seed: int
    settings: StudentSettings
    run: str
    """The run's directory; results go to `students/<trial>/` below it."""
    rows: pa.Table = field(repr=False)
    """Training rows: question_id, question, rationale, answer."""
    held_out: pa.Table = field(repr=False)
    """The same columns, kept out of training to choose the epoch by."""
    validation: pa.Table = field(repr=False)
    """QUESTIONS of `held_out`, and those of the same draw for which no text was kept."""
    test: pa.Table = field(repr=False)
    """QUESTIONS to evaluate every epoch on; empty unless `evaluate_every_epoch`."""

    @property
    def label(self) -> str:
        """For trackers."""
        return f"{self.student} {self.task} {self.method} D={self.degree} seed={self.seed}"

    @property
    def folder(self) -> str:
        """Relative to the run's directory."""
        return f"students/{self.key}"


def make_trial(point: GridPoint, questions: pa.Table, training: pa.Table, settings: StudentSettings, run: str) -> Trial:
    """Return the trial of a grid point.

    Args:
        point: student, task, method, degree and seed.
        questions: QUESTIONS of all tasks.
        training: TRAINING of all tasks, methods and degrees; the trial takes its kept rows.
        settings: how it is trained.
        run: the run's directory.
    """
    texts = _kept_texts(point, training)
    if settings.canonical_answers:
        texts = _with_canonical_answers(texts, questions)
    task_questions = questions.filter(pc.field("task") == point.task)
    validation_ids = _draw_validation(task_questions, settings.validation_fraction, point.seed)
    is_held_out = pc.is_in(texts["question_id"], validation_ids)
    if settings.evaluate_every_epoch:
        test = task_questions.filter(pc.field("split") == "test")
    else:
        test = task_questions.slice(0, 0)
    return Trial(
        key=_key(point, settings, texts, test, validation_ids)[:16],
        task=point.task,
        method=point.method,
        degree=point.degree,
        student=point.student,
        location=point.location,
        seed=point.seed,
        settings=settings,
        run=run,
        rows=texts.filter(pc.invert(is_held_out)),
        held_out=texts.filter(is_held_out),
        validation=task_questions.filter(pc.is_in(task_questions["question_id"], validation_ids)),
        test=test,
    )


def weight_settings(settings: StudentSettings) -> dict[str, Any]:
    """Return the settings (JSON-able) that trained weights depend on; in process is as good as one worker."""
    affecting = settings.affecting(Affects.RESULT)
    affecting["num_workers"] = max(1, settings.num_workers)
    return affecting


def _key(point: GridPoint, settings: StudentSettings, texts: pa.Table, test: pa.Table, validation_ids: pa.Array) -> str:
    """Return the fingerprint of everything that the trained weights depend on."""
    affecting = weight_settings(settings)
    if settings.checkpoint_selection != "last":
        # Answers decide which epoch's weights are kept, and these settings decide the answers.
        affecting |= settings.affecting(Affects.PREDICTIONS)
    what = [identity(point.student), point.task, point.method, point.degree, point.seed, affecting]
    data = [content_hash(texts), content_hash(test), validation_ids.to_pylist()]
    return fingerprint(STAGE_FORMATS["students"], what, data)


def _kept_texts(point: GridPoint, training: pa.Table) -> pa.Table:
    """Return the kept rows of TRAINING for a point: question_id, question, rationale, answer."""
    is_task = pc.field("task") == point.task
    is_method = pc.field("method") == point.method
    is_degree = pc.field("degree") == point.degree
    kept = training.filter(is_task & is_method & is_degree & pc.field("kept"))
    return kept.select(["question_id", "question", "rationale", "answer"])


def _draw_validation(task_questions: pa.Table, fraction: float, seed: int) -> pa.Array:
    """Draw the ids of the questions that are kept out of training, the same ones for all methods and degrees.

    They are drawn from all train questions, not from those that the teacher got right: otherwise methods would be
    compared on different questions, and on easier ones.
    """
    ids = sorted(task_questions.filter(pc.field("split") == "train")["question_id"].to_pylist())
    Random(f"validation/{seed}").shuffle(ids)
    count = 0
    if fraction and len(ids) > 1:
        count = max(1, round(fraction * len(ids)))
    return pa.array(sorted(ids[:count]), pa.string())


def _with_canonical_answers(texts: pa.Table, questions: pa.Table) -> pa.Table:
    """Return `texts` with each answer written canonically ("43" rather than "43.0")."""
    ids = questions["question_id"].to_pylist()
    answer_types = dict(zip(ids, questions["answer_type"].to_pylist(), strict=True))
    canonical = []
    for answer, question_id in zip(texts["answer"].to_pylist(), texts["question_id"].to_pylist(), strict=True):
        canonical.append(answers.canonical(answer, answer_types[question_id]))
    position = texts.column_names.index("answer")
    return texts.set_column(position, "answer", pa.array(canonical, pa.string()))

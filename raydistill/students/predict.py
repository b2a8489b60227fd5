"""Every student's answers to its task's test questions.

A trial's answers are kept in `students/<trial>/predictions.parquet`, named by what they depend on: another trial in the
grid costs only its own answers.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raydistill.config import Affects, Settings, StudentSettings
from raydistill.runtime.progress import Progress
from raydistill.runtime.stage_formats import STAGE_FORMATS
from raydistill.runtime.store import Store, content_hash, fingerprint
from raydistill.students import card
from raydistill.students.answering import Assignment, answer
from raydistill.students.records import StudentRow, student_rows
from raydistill.tables import PREDICTIONS

TEST_SPLITS = ["test", "test_unseen"]


class _Work(NamedTuple):
    """A student, its test questions, and the key of its answers to them."""

    student: StudentRow
    questions: pa.Table
    key: str


def predict(questions: pa.Table, students: pa.Table, settings: Settings, store: Store, progress: Progress) -> pa.Table:
    """Return PREDICTIONS of every student that has a checkpoint on the splits test and test_unseen of its task.

    Args:
        questions: QUESTIONS of all tasks.
        students: STUDENTS.
        settings: of the run.
        store: the run directory.
        progress: shows the questions.
    """
    works = _works(questions, students, settings.students)
    finished: dict[str, pa.Table] = {}
    pending: dict[str, _Work] = {}
    for work in works:
        trial = work.student.trial
        predictions = _read(store, trial, work.key)
        if predictions is not None:
            finished[trial] = predictions
        elif work.questions.num_rows:
            pending[trial] = work
    total = sum(work.questions.num_rows for work in works)
    kept = len(works) - len(pending)
    with progress.stage("predictions", total=total) as stage:
        stage.update(sum(table.num_rows for table in finished.values()))
        parts: dict[str, list[pa.Table]] = {trial: [] for trial in pending}
        for part in answer([Assignment(work.student, work.questions) for work in pending.values()], settings):
            trial = part["trial"][0].as_py()
            parts[trial].append(part)
            predictions = pa.concat_tables(parts[trial])
            if predictions.num_rows == pending[trial].questions.num_rows:
                finished[trial] = _finish(pending[trial], predictions, settings, store)
                del parts[trial]
            stage.update(stage.done + part.num_rows)
        stage.finish(_summary(total, kept=kept, unopened=len(parts)))
    tables = [PREDICTIONS.empty_table(), *finished.values()]
    return pa.concat_tables(tables).sort_by(
        [("trial", "ascending"), ("split", "ascending"), ("question_id", "ascending")]
    )


def _works(questions: pa.Table, students: pa.Table, settings: StudentSettings) -> list[_Work]:
    """Return the work of each student that was not left out by an error."""
    tests = questions.filter(pc.is_in(questions["split"], pa.array(TEST_SPLITS)))
    works = []
    for student in student_rows(students):
        if not student.error:
            task_tests = tests.filter(pc.field("task") == student.task)
            works.append(_Work(student, task_tests, _key(task_tests, settings, student.checkpoint)))
    return works


def _summary(total: int, *, kept: int, unopened: int) -> str:
    """Return the sentence that stays when the stage is done."""
    parts = [f"{total:,} questions"]
    if kept:
        parts.append(f"{kept} students answered before")
    if unopened:
        parts.append(f"{unopened} could not be opened and are excluded from the results")
    return ", ".join(parts)


def _finish(work: _Work, predictions: pa.Table, settings: Settings, store: Store) -> pa.Table:
    """Keep a student's complete predictions, and write its model card."""
    predictions = predictions.sort_by("question_id")
    _write(store, work.student.trial, work.key, predictions)
    card.write(work.student, work.questions, predictions, settings.teacher, store)
    return predictions


def _key(questions: pa.Table, settings: StudentSettings, checkpoint: str) -> str:
    values = settings.affecting(Affects.PREDICTIONS)
    return fingerprint("predictions", STAGE_FORMATS["predictions"], content_hash(questions), values, checkpoint)


def _read(store: Store, trial: str, key: str) -> pa.Table | None:
    """Return a trial's finished predictions, if they were made under `key`."""
    name = f"students/{trial}/predictions"
    if store.read_text(f"{name}.key") != key:
        return None
    return pq.read_table(f"{store.root}/{name}.parquet", filesystem=store.fs, schema=PREDICTIONS)


def _write(store: Store, trial: str, key: str, table: pa.Table) -> None:
    name = f"students/{trial}/predictions"
    store.write_text(f"{name}.key", "")
    pq.write_table(table, f"{store.root}/{name}.parquet", filesystem=store.fs, compression="zstd")
    store.write_text(f"{name}.key", key)

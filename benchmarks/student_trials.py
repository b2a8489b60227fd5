"""Trials of made-up training rows, for the student benchmarks."""

from __future__ import annotations

import tempfile

import pyarrow as pa

from raydistill.config import StudentSettings
from raydistill.students import batching, models, train
from raydistill.students.trial import Trial

SETTINGS = StudentSettings(num_train_epochs=1, learning_rate=1e-5)


def encode(rows: pa.Table, task: str, student: models.Student) -> list[batching.Sample]:
    """Tokenize training rows, as a trial does."""
    empty = rows.slice(0, 0)
    return train.encode_rows(rows, student, trial("", task, rows, empty, empty, "benchmark"))


def trial(student: str, task: str, rows: pa.Table, empty: pa.Table, questions: pa.Table, run: str) -> Trial:
    """Describe a trial of these rows, without validation rows of its own (`empty`)."""
    return Trial(
        key=f"benchmark-{task}",
        task=task,
        method="fine_tune_cot",
        degree=1,
        student=student,
        location=models.locate(student) if student else "",
        seed=0,
        settings=SETTINGS,
        run=run,
        rows=rows,
        held_out=empty,
        validation=questions,
        test=questions,
    )


def scratch() -> str:
    """Return a new folder for what a training writes."""
    return tempfile.mkdtemp(prefix="raydistill-benchmark-")

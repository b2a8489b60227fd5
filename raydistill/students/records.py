"""Rows of table STUDENTS as typed records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from raydistill.tables import STUDENTS, rows


@dataclass(frozen=True)
class Epoch:
    """What is known of one epoch of a training; None if it was not evaluated (fields as in tables.EPOCH)."""

    epoch: int
    """From 1."""
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None


@dataclass(frozen=True)
class StudentRow:
    """One row of STUDENTS: a student as it comes, trained, or failed (fields as in tables.STUDENTS)."""

    trial: str
    task: str
    method: str
    degree: int
    student: str
    seed: int
    settings: str = "{}"
    """JSON."""
    train_rows: int = 0
    steps: int = 0
    train_seconds: float = 0.0
    train_tokens: int = 0
    epochs: Sequence[Epoch] = ()
    checkpoint: str = ""
    error: str = ""

    @property
    def folder(self) -> str:
        """The trained student's folder, relative to the run directory."""
        return f"students/{self.trial}/model"


def student_table(students: Sequence[StudentRow]) -> pa.Table:
    """Return STUDENTS with these rows."""
    records = [asdict(student) for student in students]
    return pa.Table.from_pylist(records, schema=STUDENTS)


def student_rows(table: pa.Table) -> list[StudentRow]:
    """Return the rows of STUDENTS as records."""
    students = []
    for record in rows(table):
        epochs = record.pop("epochs") or []
        students.append(StudentRow(epochs=[Epoch(**epoch) for epoch in epochs], **record))
    return students

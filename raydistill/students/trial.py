"""A trial: one student on one task, and everything that its training needs, wherever that runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from raydistill.config import StudentSettings

STOP = "stop"
"""File in a trial's folder that tells it to end early."""


@dataclass(frozen=True)
class Trial:
    """One point of the grid, with its rows."""

    trial: str
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
    """QUESTIONS of `held_out`."""
    test: pa.Table = field(repr=False)
    """QUESTIONS to judge every epoch on; empty unless `evaluate_every_epoch`."""

    @property
    def label(self) -> str:
        """For trackers."""
        return f"{self.student} {self.task} {self.method} D={self.degree} seed={self.seed}"

    @property
    def folder(self) -> str:
        """Relative to the run's directory."""
        return f"students/{self.trial}"

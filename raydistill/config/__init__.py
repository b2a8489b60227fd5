"""A run's settings: one typed, frozen tree, with a sentence for every field.

`raydistill.cli` reads it from a YAML file with command-line overrides; the field texts are the help texts.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from raydistill.config.base import (
    STORAGE_KEYS,
    Affects,
    AnswerTypeName,
    MethodName,
    Section,
    TaskName,
    without_secret,
)
from raydistill.config.questions import ColumnSettings, QuestionSettings
from raydistill.config.rationales import CurationSettings, ExemplarSettings
from raydistill.config.students import CascadeSettings, SearchSettings, StudentSettings
from raydistill.config.teacher import LocalServerSettings, PriceSettings, SimulatedSettings, TeacherSettings

__all__ = [
    "Affects",
    "AnswerTypeName",
    "CascadeSettings",
    "ColumnSettings",
    "CurationSettings",
    "ExemplarSettings",
    "LocalServerSettings",
    "MethodName",
    "PriceSettings",
    "QuestionSettings",
    "RaySettings",
    "SearchSettings",
    "Settings",
    "SimulatedSettings",
    "StudentSettings",
    "TaskName",
    "TeacherSettings",
    "absolute",
    "journal_path",
]


class RaySettings(Section):
    address: str | None = None
    """A running cluster ("auto" or host:port); without one, RAY_ADDRESS or a new single-node Ray on this machine."""
    num_cpus: int | None = Field(None, ge=1)
    """Logical CPUs of a new single-node Ray; all cores where not given."""
    include_dashboard: bool = False
    """Start the dashboard of a new single-node Ray."""


class Settings(Section):
    """Everything that a run depends on."""

    run_dir: str = "runs/quickstart"
    """Directory (or pyarrow.fs URI) of this run's tables; the same directory goes on where it was."""
    seed: int = 0
    """Seed of generated questions and random splits."""
    local: bool = False
    """Train in this process (Ray Train's local mode), so that breakpoints work."""
    questions: QuestionSettings = QuestionSettings()
    teacher: TeacherSettings = TeacherSettings()
    exemplars: ExemplarSettings = ExemplarSettings()
    curation: CurationSettings = CurationSettings()
    students: StudentSettings = StudentSettings()
    search: SearchSettings = SearchSettings()
    cascade: CascadeSettings = CascadeSettings()
    ray: RaySettings = RaySettings()

    @field_validator("run_dir")
    @classmethod
    def _no_secret_in_the_directory(cls, place: str) -> str:
        return without_secret(place, STORAGE_KEYS)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        q, s = self.questions, self.students
        if q.file and not q.answer_type:
            raise ValueError("questions.answer_type is needed with questions.file")
        if not q.tasks and not q.file:
            raise ValueError("questions.tasks is empty and questions.file is not given: there is nothing to ask")
        if any(d < 1 for d in s.degrees):
            raise ValueError("students.degrees must be 1 or more")
        if s.checkpoint_selection == "validation" and not s.validation_fraction:
            raise ValueError("students.checkpoint_selection validation needs students.validation_fraction above 0")
        if s.checkpoint_selection == "best_on_test" and not s.evaluate_every_epoch:
            raise ValueError("students.checkpoint_selection best_on_test needs students.evaluate_every_epoch")
        return self

    @property
    def run_path(self) -> str:
        """`run_dir` made absolute."""
        return absolute(self.run_dir)

    def absolute(self) -> Settings:
        """These settings with absolute places: Ray's workers have other working directories than the driver."""
        journal = self.teacher.journal and absolute(self.teacher.journal)
        teacher = self.teacher.model_copy(update={"journal": journal})
        return self.model_copy(update={"run_dir": self.run_path, "teacher": teacher})


def journal_path(run_dir: str, journal: str | None) -> str:
    """Where a run's paid answers are: in the journal that `teacher.journal` names, else in one below the run's own."""
    return absolute(journal) if journal else f"{absolute(run_dir)}/journal"


def absolute(path: str) -> str:
    """A local path made absolute; URIs stay as they are.

    The working directory that a Ray job uploads is a copy which goes with the session: there, relative paths are taken
    from `raydistill` in the home directory.
    """
    if "://" in path:
        return path
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}").get("runtime_env") or {}
    start = Path.home() / "raydistill" if job.get("working_dir") else Path.cwd()
    return str((start / Path(path).expanduser()).resolve())

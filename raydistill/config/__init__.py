"""A run's settings: one typed, frozen tree, with a sentence for every field.

`raydistill.cli` reads it from a YAML file with command-line overrides. The docstring under each field is its help text.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from raydistill.config.base import STORAGE_KEYS, Affects, AnswerTypeName, MethodName, Section, TaskName, without_secret
from raydistill.config.curation import CurationSettings
from raydistill.config.exemplars import ExemplarSettings
from raydistill.config.questions import ColumnSettings, QuestionSettings
from raydistill.config.renamed import outdated
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
    """The Ray cluster that the run works on."""

    address: str | None = None
    """Address of a running cluster ("auto" or host:port). Without one: RAY_ADDRESS, else a new single-node Ray here."""
    num_cpus: int | None = Field(None, ge=1)
    """Logical CPUs of a new single-node Ray; by default all cores."""
    include_dashboard: bool = False
    """Start the dashboard of a new single-node Ray."""


class Settings(Section):
    """Everything that a run depends on."""

    run_dir: str = "runs/quickstart"
    """Directory (or pyarrow.fs URI) of this run's tables. A run that was stopped continues in the same directory."""
    seed: int = 0
    """Random seed of generated questions and of random splits."""
    local: bool = False
    """Train in the driver's process (Ray Train's local mode), so that breakpoints work."""
    questions: QuestionSettings = QuestionSettings()
    teacher: TeacherSettings = TeacherSettings()
    exemplars: ExemplarSettings = ExemplarSettings()
    curation: CurationSettings = CurationSettings()
    students: StudentSettings = StudentSettings()
    search: SearchSettings = SearchSettings()
    cascade: CascadeSettings = CascadeSettings()
    ray: RaySettings = RaySettings()

    @model_validator(mode="before")
    @classmethod
    def _reject_old_names(cls, tree: Any) -> Any:
        """Name the new setting if an old name or value is used (`raydistill.config.renamed`)."""
        sentences = list(outdated(tree)) if isinstance(tree, dict) else []
        if sentences:
            raise ValueError("\n  ".join(sentences))
        return tree

    @field_validator("run_dir")
    @classmethod
    def _reject_secrets(cls, run_dir: str) -> str:
        return without_secret(run_dir, STORAGE_KEYS)

    @model_validator(mode="after")
    def _check_combinations(self) -> Settings:
        questions = self.questions
        students = self.students
        if questions.file and not questions.answer_type:
            raise ValueError("questions.answer_type is needed with questions.file")
        if not questions.tasks and not questions.file:
            raise ValueError("questions.tasks is empty and questions.file is not given: there are no questions")
        if students.degrees and min(students.degrees) < 1:
            raise ValueError("students.degrees must be 1 or more")
        if students.checkpoint_selection == "validation" and not students.validation_fraction:
            raise ValueError("students.checkpoint_selection validation needs students.validation_fraction above 0")
        if students.checkpoint_selection == "best_on_test" and not students.evaluate_every_epoch:
            raise ValueError("students.checkpoint_selection best_on_test needs students.evaluate_every_epoch")
        return self

    @property
    def run_path(self) -> str:
        """`run_dir` as an absolute path."""
        return absolute(self.run_dir)

    def absolute(self) -> Settings:
        """Return these settings with absolute paths: Ray's workers have other working directories than the driver."""
        journal = self.teacher.journal and absolute(self.teacher.journal)
        teacher = self.teacher.model_copy(update={"journal": journal})
        return self.model_copy(update={"run_dir": self.run_path, "teacher": teacher})


def journal_path(run_dir: str, journal: str | None) -> str:
    """Return the folder of a run's paid answers: `teacher.journal`, by default `journal` in the run directory."""
    return absolute(journal) if journal else f"{absolute(run_dir)}/journal"


def absolute(path: str) -> str:
    """Make a local path absolute; URIs stay as they are.

    The working directory that a Ray job uploads is a copy that is deleted with the session. Relative paths of a Ray job
    therefore start at `raydistill` in the home directory.
    """
    if "://" in path:
        return path
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    runtime_env = job.get("runtime_env") or {}
    if runtime_env.get("working_dir"):
        start = Path.home() / "raydistill"
    else:
        start = Path.cwd()
    return str((start / Path(path).expanduser()).resolve())

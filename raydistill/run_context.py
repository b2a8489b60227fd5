"""What the stages of one run share: settings, store, progress, and the teacher and Ray, opened at their first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import BaseModel

from raydistill import __version__
from raydistill.config import Affects, Settings
from raydistill.runtime import ray_connection, run_id
from raydistill.runtime.files import identity
from raydistill.runtime.progress import Progress
from raydistill.runtime.stage_formats import STAGE_FORMATS
from raydistill.runtime.store import Store, content_hash, fingerprint
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.open_endpoint import open_endpoint


class RunContext:
    """One run of the pipeline."""

    def __init__(self, settings: Settings, store: Store, progress: Progress, stack: ExitStack) -> None:
        self.settings = settings
        self.store = store
        self.progress = progress
        self._teacher = stack.enter_context(ExitStack())
        written = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        store.write_text("settings.yaml", written)
        run_id.load(store)  # from now on the run is known by it, wherever its directory is moved
        progress.say(f"raydistill {__version__} · run directory {store.path}")

    def stage(
        self,
        name: str,
        inputs: Sequence[object],
        make: Callable[[], pa.Table],
        count_failed: Callable[[pa.Table], int] | None = None,
    ) -> pa.Table:
        """Return table `name`: read if it is complete, current and without failed rows, else made and written.

        Args:
            name: of the table.
            inputs: what the table depends on, beside the stage's code (runtime.stage_formats): a table counts by its
                content, a settings section and any JSON value by value.
            make: makes the table.
            count_failed: how many of its rows the next command should try again; by default those with an `error`.
        """
        key = fingerprint(name, STAGE_FORMATS[name], [_fingerprinted(value) for value in inputs])
        if self.store.is_current(name, key):
            table = self.store.read(name)
            self.progress.skipped(name, table.num_rows)
            return table
        table = make()
        failed = (count_failed or _count_errors)(table)
        return self.store.write(name, table, key, failed=failed)

    @property
    def teacher_settings(self) -> list[object]:
        """What the teacher's answers depend on, beside the prompts."""
        teacher = self.settings.teacher
        gguf = teacher.local.gguf if teacher.kind == "local" else None
        return [teacher.affecting(Affects.RESULT), identity(gguf or "")]

    @property
    def student_settings(self) -> list[object]:
        """What students and their answers depend on, beside the training text."""
        students = self.settings.students
        values = students.affecting(Affects.RESULT | Affects.PREDICTIONS | Affects.GRID)
        return [values, *map(identity, students.models)]

    @cached_property
    def endpoint(self) -> Endpoint:
        """The teacher's endpoint, opened and checked at its first use."""
        if self.settings.curation.llm_judge and self.settings.curation.llm_judge_budget_usd:
            pricing.find(self.settings.teacher, "--curation.llm_judge_budget_usd")
        return self._teacher.enter_context(open_endpoint(self.settings.teacher))

    def connect_ray(self) -> None:
        """Connect to Ray; only the first call of a process does something."""
        ray_connection.connect(**self.settings.ray.model_dump())

    def complete(self, name: str, prompts: pa.Table, budget: Budget | None = None) -> pa.Table:
        """Ask the teacher the `prompts` of stage `name`; return SAMPLES."""
        from raydistill.teacher import stage

        endpoint = self.endpoint  # before Ray: a wrong key is said within seconds
        self.connect_ray()
        return stage.run(name, prompts, self.settings, endpoint, self.store, self.progress, budget)

    def close_teacher(self) -> None:
        """Stop a local teacher: it would keep cores and memory from the students."""
        self._teacher.close()


def _count_errors(table: pa.Table) -> int:
    if "error" not in table.column_names:
        return 0
    return pc.sum(pc.not_equal(table["error"], "")).as_py() or 0


def _fingerprinted(value: object) -> object:
    """Return a value as it counts in a fingerprint: a table by its content, a section by its settings."""
    if isinstance(value, pa.Table):
        return content_hash(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value

"""A run as its report sees it: the tables it has, and the figures that terminal and page share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from raydistill import tables, tasks
from raydistill.config import Settings
from raydistill.method.methods import METHODS, few_shot
from raydistill.report import accuracy, cascade, curation_outcome, epochs, guesses, labels, spend, teacher_accuracy
from raydistill.runtime import formatting
from raydistill.runtime.store import Store
from raydistill.students import cascade as cascade_table

SCHEMAS = {
    "questions": tables.QUESTIONS,
    "zero_shot": tables.SAMPLES,
    "few_shot": tables.SAMPLES,
    "exemplars": tables.EXEMPLARS,
    "clusters": tables.CLUSTERS,
    "judgements": tables.JUDGEMENTS,
    "training": tables.TRAINING,
    "students": tables.STUDENTS,
    "predictions": tables.PREDICTIONS,
    "results": tables.RESULTS,
    "ledger": tables.LEDGER,
    "cascade": tables.CASCADE,
}
"""The tables that the report reads."""


@dataclass(frozen=True)
class RunReport:
    """The tables by name (empty for a stage that the run lacks), the settings, and the figures drawn from them."""

    tables: Mapping[str, pa.Table]
    settings: Settings
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the store recorded about each finished table."""

    def __getitem__(self, name: str) -> pa.Table:
        return self.tables[name]

    @property
    def asks_teacher(self) -> bool:
        """False if students learn from gold answers alone."""
        return _asks_teacher(self.settings)

    @property
    def simulated(self) -> bool:
        """True if the teacher is the simulated one."""
        return self.asks_teacher and self.settings.teacher.kind == "simulated"

    @cached_property
    def students(self) -> list[accuracy.StudentAccuracy]:
        """All trainings with their seeds made one, failed ones included."""
        return accuracy.over_seeds(self["results"])

    @cached_property
    def evaluated(self) -> list[accuracy.StudentAccuracy]:
        """Of `students`, those with figures."""
        return [row for row in self.students if row.accuracy is not None]

    @cached_property
    def guesses(self) -> dict[tuple[str, str], guesses.Guess]:
        """What guessing gives by (task, split)."""
        return guesses.guesses(self["questions"])

    @property
    def generated(self) -> list[str]:
        """The tasks whose published file could not be had, so that their questions were generated."""
        metadata = self["questions"].schema.metadata or {}
        names = metadata.get(tasks.FELL_BACK, b"").decode()
        return names.split(",") if names else []

    @cached_property
    def splits(self) -> set[str]:
        """The splits that students were evaluated on."""
        return {row.split for row in self.students}

    @cached_property
    def short_names(self) -> dict[str, str]:
        """Each student's model by a short name."""
        names = self["students"]["student"].to_pylist() + self["results"]["student"].to_pylist()
        return labels.short_names(names)

    @cached_property
    def teacher(self) -> list[teacher_accuracy.TeacherAccuracy]:
        """The teacher's accuracy, every split."""
        return teacher_accuracy.by_split(self["zero_shot"], self["few_shot"])

    @cached_property
    def teacher_overall(self) -> list[teacher_accuracy.TeacherAccuracy]:
        """Of `teacher`, the row for all splits of each task, method and degree."""
        return teacher_accuracy.overall(self.teacher)

    @cached_property
    def curated(self) -> list[curation_outcome.CurationOutcome]:
        """What became of the candidates for training."""
        return curation_outcome.outcomes(self["training"], self["judgements"], self["zero_shot"], self["few_shot"])

    @cached_property
    def by_epoch(self) -> list[epochs.TrialEpochs]:
        """The trained trials with their epoch chosen in three ways."""
        return epochs.choices(self["students"], self["results"])

    @cached_property
    def curves(self) -> list[cascade.Curve]:
        """Student and teacher together."""
        return cascade.curves(self["cascade"], self["students"])

    @cached_property
    def spent(self) -> spend.LedgerRow | None:
        """The sum of the ledger."""
        return spend.total(self["ledger"])

    def cost(self, usd: float | None) -> str:
        """Return an amount as text; a simulated teacher's calls cost nothing real."""
        return "simulated" if self.simulated else formatting.dollars(usd)


def read(store: Store, settings: Settings) -> RunReport:
    """Read the run in `store`; what an earlier command with other methods left there is not shown."""
    manifests = {}
    for name in SCHEMAS:
        manifest = store.manifest(name)
        if manifest is not None:
            manifests[name] = manifest
    if "cascade" in manifests and not store.is_current("cascade", cascade_table.key(store)):
        del manifests["cascade"]
    left_out = _not_of_these_settings(settings)
    run_tables = {}
    for name, schema in SCHEMAS.items():
        if name in manifests and name not in left_out:
            run_tables[name] = store.read(name)
        else:
            run_tables[name] = schema.empty_table()
    return RunReport(run_tables, settings, manifests)


def _not_of_these_settings(settings: Settings) -> list[str]:
    """Name the tables that a run of these settings does not make."""
    names = []
    if not _asks_teacher(settings):
        names += ["zero_shot", "ledger"]
    if not few_shot(settings.students.methods):
        names += ["few_shot", "exemplars", "clusters"]
    if not settings.curation.llm_judge:
        names.append("judgements")
    return names


def _asks_teacher(settings: Settings) -> bool:
    return any(METHODS[name].asks_teacher for name in settings.students.methods)

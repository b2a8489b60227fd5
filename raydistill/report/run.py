"""A run as its report sees it: the tables it has, and the figures that terminal and page share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from raydistill import tables, tasks
from raydistill.config import Settings
from raydistill.report import epochs, labels, results, together
from raydistill.report.results import Row
from raydistill.runtime.store import Store
from raydistill.students import cascade

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


@dataclass(frozen=True)
class Run:
    """The tables by name (empty for a stage that the run lacks), the settings, and the figures drawn from them."""

    tables: dict[str, pa.Table]
    settings: Settings
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the store recorded about each finished table."""

    def __getitem__(self, name: str) -> pa.Table:
        return self.tables[name]

    @property
    def taught(self) -> bool:
        """False where students learn from gold answers alone."""
        return _taught(self.settings)

    @property
    def simulated(self) -> bool:
        return self.taught and self.settings.teacher.kind == "simulated"

    @cached_property
    def students(self) -> list[Row]:
        """`results.over_seeds`."""
        return results.over_seeds(self["results"])

    @cached_property
    def judged(self) -> list[Row]:
        """Of `students`, those with figures."""
        return [row for row in self.students if row["accuracy"] is not None]

    @cached_property
    def guesses(self) -> dict[tuple[str, str], results.Guess]:
        """`results.guesses`."""
        return results.guesses(self["questions"])

    @property
    def generated(self) -> list[str]:
        """The tasks whose published file could not be had, so that their questions were generated."""
        named = (self["questions"].schema.metadata or {}).get(tasks.FELL_BACK, b"").decode()
        return named.split(",") if named else []

    @cached_property
    def splits(self) -> set[str]:
        return {row["split"] for row in self.students}

    @cached_property
    def short_names(self) -> dict[str, str]:
        """Each student's model by a short name."""
        return labels.short_names(self["students"]["student"].to_pylist() + self["results"]["student"].to_pylist())

    @cached_property
    def asked(self) -> list[Row]:
        """`results.teacher`, every split."""
        return results.teacher(self["zero_shot"], self["few_shot"])

    @cached_property
    def asked_overall(self) -> list[Row]:
        """Of `asked`, the row for all splits of each task, method and degree."""
        return results.overall(self.asked)

    @cached_property
    def curated(self) -> list[Row]:
        """`results.curation`."""
        return results.curation(self["training"], self["judgements"], self["zero_shot"], self["few_shot"])

    @cached_property
    def by_epoch(self) -> list[Row]:
        """`epochs.chosen`."""
        return epochs.chosen(self["students"], self["results"])

    @cached_property
    def together(self) -> list[Row]:
        """`together.rows`."""
        return together.rows(self["cascade"], self["students"])

    @cached_property
    def spent(self) -> Row | None:
        """`results.spend`."""
        return results.spend(self["ledger"])

    def cost(self, usd: float | None) -> str:
        """An amount as text; a simulated teacher's calls cost nothing real."""
        return "simulated" if self.simulated else labels.dollars(usd)


def read(store: Store, settings: Settings) -> Run:
    """The run in `store`; what an earlier command with other methods left there is not shown."""
    done = {name: manifest for name in SCHEMAS if (manifest := store.manifest(name)) is not None}
    if "cascade" in done and not store.is_current("cascade", cascade.key(store)):
        del done["cascade"]
    foreign = [] if _taught(settings) else ["zero_shot", "ledger"]
    if not {"few_shot_unfiltered", "new_fine_tune_cot"} & {*settings.students.methods}:
        foreign += ["few_shot", "exemplars", "clusters"]
    if not settings.curation.llm_judge:
        foreign.append("judgements")
    empty = {name: schema.empty_table() for name, schema in SCHEMAS.items()}
    found = {name: store.read(name) for name in done if name not in foreign}
    return Run(empty | found, settings, done)


def _taught(settings: Settings) -> bool:
    return {*settings.students.methods} != {"vanilla"}

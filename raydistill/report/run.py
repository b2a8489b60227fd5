"""A run as its report sees it: the tables it has, and the figures that terminal and page share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from raydistill import tables
from raydistill.config import Settings
from raydistill.report import labels, results
from raydistill.report.results import Row
from raydistill.store import Store

SCHEMAS = {
    "questions": tables.QUESTIONS,
    "zero_shot": tables.SAMPLES,
    "few_shot": tables.SAMPLES,
    "exemplars": tables.EXEMPLARS,
    "clusters": tables.CLUSTERS,
    "training": tables.TRAINING,
    "students": tables.STUDENTS,
    "predictions": tables.PREDICTIONS,
    "results": tables.RESULTS,
    "ledger": tables.LEDGER,
}


@dataclass(frozen=True)
class Run:
    """The tables by name (empty for a stage that the run lacks) and the settings, with the figures drawn from them."""

    tables: dict[str, pa.Table]
    settings: Settings

    def __getitem__(self, name: str) -> pa.Table:
        return self.tables[name]

    @property
    def taught(self) -> bool:
        """False where students learn from gold answers alone."""
        return {*self.settings.students.methods} != {"vanilla"}

    @property
    def simulated(self) -> bool:
        return self.taught and self.settings.teacher.kind == "simulated"

    @cached_property
    def students(self) -> list[Row]:
        """`results.over_seeds`."""
        return results.over_seeds(self["results"])

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
        return results.curation(self["training"], self["zero_shot"], self["few_shot"])

    @cached_property
    def spent(self) -> Row | None:
        """`results.spend`."""
        return results.spend(self["ledger"])

    def cost(self, usd: float | None) -> str:
        """An amount as text; a simulated teacher's calls cost nothing real."""
        return "simulated" if self.simulated else labels.dollars(usd)


def read(store: Store, settings: Settings) -> Run:
    """The run in `store`; what an earlier command with other methods left there is not shown."""
    found = {name: store.read(name) for name in SCHEMAS if store.manifest(name) is not None}
    run = Run({name: found.get(name, schema.empty_table()) for name, schema in SCHEMAS.items()}, settings)
    foreign = [] if run.taught else ["zero_shot", "ledger"]
    if not {"clustered", "new_fine_tune_cot"} & {*settings.students.methods}:
        foreign += ["few_shot", "exemplars", "clusters"]
    return Run(run.tables | {name: SCHEMAS[name].empty_table() for name in foreign}, settings)

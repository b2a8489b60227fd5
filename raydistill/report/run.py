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
    def simulated(self) -> bool:
        return self.settings.teacher.kind == "simulated"

    @cached_property
    def students(self) -> list[Row]:
        """`results.over_seeds`."""
        return results.over_seeds(self["results"])

    @cached_property
    def splits(self) -> set[str]:
        return {row["split"] for row in self.students}

    @cached_property
    def short_names(self) -> dict[str, str]:
        return labels.short_names(self["students"]["student"].to_pylist())

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
    methods = settings.students.methods
    foreign: set[str] = set()
    if not {"clustered", "new_fine_tune_cot"} & {*methods}:
        foreign |= {"few_shot", "exemplars", "clusters"}
    if {*methods} == {"vanilla"}:
        foreign |= {"zero_shot", "ledger"}
    return Run(
        {
            name: schema.empty_table() if name in foreign or store.manifest(name) is None else store.read(name)
            for name, schema in SCHEMAS.items()
        },
        settings,
    )

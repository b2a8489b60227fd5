"""Section: what became of the teacher's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.curation import diversity
from raydistill.curation.diversity import Diversity
from raydistill.report import labels
from raydistill.report.curation_outcome import CurationOutcome
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content, Group, under_headings
from raydistill.runtime import formatting


@dataclass(frozen=True, kw_only=True)
class Curation(Content):
    """See curation.html."""

    outcomes: Sequence[Group[CurationOutcome]]
    near: str
    """From which similarity on a rationale is a near-duplicate."""
    diversity: Sequence[Group[Diversity]]


def build(run: RunReport) -> Curation | None:
    """Account for every candidate for training, and say how different the rationales of one question are."""
    if not run.curated:
        return None
    return Curation(
        outcomes=under_headings(run.curated, lambda row: labels.task(row.task)),
        near=formatting.percent(diversity.NEAR, 0),
        diversity=under_headings(diversity.summary(run["training"]), lambda row: labels.task(row.task)),
    )

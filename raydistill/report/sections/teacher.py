"""Section: the teacher's accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from raydistill.report import labels, plots, records
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Chart, ChartGroup, Content, Group, under_headings
from raydistill.report.teacher_accuracy import TeacherAccuracy


@dataclass(frozen=True, kw_only=True)
class Teacher(Content):
    """See teacher.html."""

    name: str
    few_shot: bool
    figures: Sequence[Group[TeacherAccuracy]]


def build(run: RunReport) -> Teacher | None:
    """Show how often the teacher was right, by the way it was prompted."""
    if not run.teacher:
        return None
    bars = []
    for row in run.teacher_overall:
        if row.degree == 1:
            label = labels.teacher_method(row.method)
            heading = labels.task(row.task)
            bars.append(plots.Bar(label, row.method, row.accuracy, row.ci_low, row.ci_high, heading))
    charts = []
    if bars:
        caption = Markup("<b>Right answers</b>, all questions, one greedy answer to each")
        charts.append(ChartGroup("", [Chart(caption, plots.bars(bars, dots=True))]))
    return Teacher(
        charts=charts,
        name=_name(run),
        few_shot=run["few_shot"].num_rows > 0,
        figures=under_headings(run.teacher, lambda row: labels.task(row.task)),
    )


def _name(run: RunReport) -> str:
    """Name the model by what the samples say, or by the settings if they say nothing."""
    names: list[str] = []
    for table in (run["few_shot"], run["zero_shot"]):
        names += table["teacher"].unique().to_pylist()
    written = records.unique(name for name in names if name)
    if run.simulated or not written:
        return labels.teacher(run.settings)
    return ", ".join(written)

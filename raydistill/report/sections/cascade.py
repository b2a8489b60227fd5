"""Section: student and teacher together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from raydistill.report import labels, plots, records
from raydistill.report.cascade import Curve
from raydistill.report.run import RunReport
from raydistill.report.sections.content import Chart, ChartGroup, Content, Group, student_heading, under_headings

POINTS = 40  # of a curve at most; the chosen one is drawn besides


@dataclass(frozen=True, kw_only=True)
class Cascade(Content):
    """See cascade.html."""

    figures: Sequence[Group[Curve]]
    goal: str
    """What the threshold was chosen for."""

    @property
    def size(self) -> int:
        """Number of curves."""
        return sum(len(group.rows) for group in self.figures)


def build(run: RunReport) -> Cascade | None:
    """Show the curves and figures of student and teacher together, and what the threshold was chosen for."""
    if not run.curves:
        return None
    by_task: dict[str, list[Chart]] = {}
    for (task, student, split), curves in records.group(run.curves, lambda c: (c.task, c.student, c.split)).items():
        by_task.setdefault(labels.task(task), []).append(_chart(run.short_names[student], split, curves))
    return Cascade(
        charts=[ChartGroup(task, charts) for task, charts in by_task.items()],
        figures=under_headings(run.curves, lambda curve: student_heading(curve.task, curve.split, curve.student)),
        goal=run.manifests.get("cascade", {}).get("goal", ""),
    )


def _chart(student: str, split: str, curves: Sequence[Curve]) -> Chart:
    title = f"{student} and its teacher on {labels.task(curves[0].task)}"
    dashed = "; dashed: sure by votes" if any(curve.by_votes for curve in curves) else ""
    caption = Markup("<b>{}</b>, {}: right answers, %{}").format(student, labels.split(split), dashed)
    return Chart(caption, plots.cascades([_line(curve) for curve in curves], title))


def _line(curve: Curve) -> plots.Line:
    """Thin a curve to its ends and `POINTS` between them."""
    every = max(1, len(curve.points) // POINTS)
    ring = None
    if curve.chosen:
        ring = (curve.chosen.teacher_fraction, curve.chosen.accuracy)
    return plots.Line(
        label=labels.method(curve.method, curve.degree, short=True),
        method=curve.method,
        degree=curve.degree,
        dashed=curve.by_votes,
        points=[*curve.points[:-1:every], curve.points[-1]],
        ring=ring,
    )

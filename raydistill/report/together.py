"""Student and teacher together (table `cascade`): the figures that terminal and page show."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydistill.report import labels
from raydistill.report.results import Row

POINTS = 40  # of a curve at most; the chosen one is drawn besides


def rows(cascade: pa.Table, students: pa.Table) -> list[Row]:
    """The curves of CASCADE: one row for each trial of `students`, confidence and test split.

    Rows have task, split, student, method, degree, seed and confidence; curve, points (teacher share, accuracy) by
    share; alone and teacher, the accuracies at its ends; chosen, the row of the chosen threshold or None.
    """
    trials = {r["trial"]: r for r in students.select(["trial", "degree", "seed"]).to_pylist()}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in cascade.to_pylist():
        if row["split"] != "validation" and row["trial"] in trials:
            groups.setdefault((row["trial"], row["confidence"], row["split"]), []).append(row)
    found = []
    for group in groups.values():
        curve = sorted((r["teacher_fraction"], r["accuracy"]) for r in group if not r["chosen"])
        first = {name: group[0][name] for name in ("task", "split", "student", "method", "confidence")}
        ends = {"curve": curve, "alone": curve[0][1], "teacher": curve[-1][1]}
        chosen = next((r for r in group if r["chosen"]), None)
        found.append(first | trials[group[0]["trial"]] | ends | {"chosen": chosen})
    return sorted(found, key=_order)


def _order(row: Row) -> tuple[Any, ...]:
    method = labels.order(row["method"], labels.METHODS)
    return row["task"], row["student"], row["split"], method, row["degree"], row["seed"], row["confidence"]


def line(row: Row) -> dict[str, Any]:
    """A row's curve for `plots.cascades`, thinned to its ends and `POINTS` between them; by votes it is dashed."""
    curve, chosen = row["curve"], row["chosen"]
    every = max(1, len(curve) // POINTS)
    return {
        "label": labels.method(row["method"], row["degree"], short=True),
        "method": row["method"],
        "degree": row["degree"],
        "dashed": row["confidence"] == "votes",
        "points": [*curve[:-1:every], curve[-1]],
        "chosen": (chosen["teacher_fraction"], chosen["accuracy"]) if chosen else None,
    }

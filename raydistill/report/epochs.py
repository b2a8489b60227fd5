"""Which epoch counts: a trial's accuracy on the split `test` with its epoch chosen in three ways.

A run keeps and reports the weights of one epoch (setting students.checkpoint_selection). What the others would have given is known
where the student was judged after every epoch. Best on test is what Ho et al. 2023 report: the highest of all epochs'
accuracies on the very questions that it is reported on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from statistics import fmean
from typing import Any, NamedTuple

import pyarrow as pa

from raydistill.method.methods import UNTRAINED
from raydistill.report import labels

WAYS = tuple(labels.EPOCHS)
_EVERY = "the students were not judged after every epoch (students.evaluate_every_epoch)"


class Chosen(NamedTuple):
    """The epoch (from 1) that a way of choosing takes and its accuracy on test (0 … 1), or `why` there is none."""

    epoch: int | None
    accuracy: float | None
    why: str = ""


def chosen(students: pa.Table, results: pa.Table) -> list[dict[str, Any]]:
    """For each trained trial: task, student, method, degree, seed, and a `Chosen` for each of WAYS.

    Args:
        students: STUDENTS; failed trials and untrained students are left out.
        results: RESULTS, whose accuracy is that of the epoch which the trial's `students.checkpoint_selection` took.
    """
    reported = {row["trial"]: row["accuracy"] for row in results.to_pylist() if row["split"] == "test"}
    names = ("task", "student", "method", "degree", "seed")
    found = [
        {name: row[name] for name in names} | _ways(row, reported.get(row["trial"]))
        for row in students.to_pylist()
        if row["method"] not in UNTRAINED and not row["error"] and row["epochs"]
    ]
    tasks, models = (list(dict.fromkeys(row[name] for row in found)) for name in ("task", "student"))
    order = labels.order
    return sorted(
        found,
        key=lambda r: (order(r["task"], tasks), order(r["student"], models), order(r["method"], labels.METHODS)),
    )


def _ways(trial: dict[str, Any], reported: float | None) -> dict[str, Chosen]:
    how = json.loads(trial["settings"] or "{}")
    epochs: list[dict[str, Any]] = trial["epochs"]
    validated = [e for e in epochs if e["validation_accuracy"] is not None]
    tested = [e for e in epochs if e["test_accuracy"] is not None]
    taken = {  # of equals the first, as in training
        "last": epochs[-1],
        "validation": max(validated, key=lambda e: e["validation_accuracy"], default=None),
        "best_on_test": max(tested, key=lambda e: e["test_accuracy"], default=None),
    }
    kept = taken[how.get("checkpoint_selection", "last")]
    nothing_kept_out = (
        "" if how.get("validation_fraction") else "no train questions were kept out (students.validation_fraction)"
    )

    def chosen(way: str) -> Chosen:
        entry = taken[way]
        if entry is None:
            return Chosen(None, None, (way == "validation" and nothing_kept_out) or _EVERY)
        # The kept epoch's answers were given once more: their figure is the one that the report shows elsewhere.
        accuracy = reported if entry is kept and reported is not None else entry["test_accuracy"]
        return Chosen(entry["epoch"], accuracy, "" if accuracy is not None else _EVERY)

    return {way: chosen(way) for way in WAYS}


def over_seeds(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `chosen` with the seeds of a training made one: mean accuracies, None where a seed has none."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[n] for n in ("task", "student", "method", "degree")), []).append(row)
    merged = []
    for group in groups.values():
        figures = {way: [row[way].accuracy for row in group] for way in WAYS}
        merged.append(group[0] | {w: None if None in found else fmean(found) for w, found in figures.items()})
    return merged


def missing(rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The ways for which a trial of `chosen` has no figure, with the reasons."""
    reasons = {way: list(dict.fromkeys(row[way].why for row in rows if row[way].why)) for way in WAYS}
    return {way: found for way, found in reasons.items() if found}

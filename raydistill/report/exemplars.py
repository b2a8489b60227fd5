"""The exemplars explained: of each cluster its size, what was chosen, and why each nearer candidate was not."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.exemplars.conditions import RELAXATION_LEVELS, failures
from raydistill.report import labels, plots, results
from raydistill.report.results import Row
from raydistill.report.run import Run

CLIPPED = 240  # characters shown of the question of a candidate that was passed over
LISTED = 500  # candidates listed for one exemplar; the table `exemplars` has them all


def exemplars(run: Run) -> Row:
    """Per task: a map of its clusters and, for each way of asking with exemplars, a row for each exemplar.

    A cluster without one has a row too, with no question and all of its questions passed over.
    """
    rows = run["exemplars"].to_pylist()
    places: dict[str, list[Row]] = {}
    for point in run["clusters"].to_pylist():
        places.setdefault(point["task"], []).append(point)
    last = results.best_informed(rows)["method"] if rows else ""
    tasks = []
    for task in dict.fromkeys([*places, *(row["task"] for row in rows)]):
        points = places.get(task, [])
        chosen = {r["question_id"]: r["cluster"] for r in rows if (r["task"], r["method"]) == (task, last)}
        tables = []
        for method in dict.fromkeys(r["method"] for r in rows if r["task"] == task):
            mine = [r for r in rows if (r["task"], r["method"]) == (task, method)]
            mine += _without([p for p in points if p["cluster"] not in {r["cluster"] for r in mine}], method, run)
            listed = [p["question_id"] for row in mine for p in row["passed_over"][:LISTED]]
            questions = _by_id(run["questions"], listed)
            mine = [_shown(row, questions) for row in mine]
            mine.sort(key=lambda r: r["cluster"])
            tables.append({"name": f"exemplars of “{labels.teacher_method(method)}”", "rows": mine})
        map_ = plots.clusters(points, chosen, f"Clusters of {labels.task(task)} questions") if points else None
        about = {"n": len(points), "chosen": labels.teacher_method(last) if chosen else ""}
        tasks.append({"name": labels.task(task), "map": map_, "tables": tables, **about})
    given = bool(rows) and all(row["relaxation_level"] == 0 for row in rows)
    return {"exemplars": tasks, "exemplars_given": given}


def _without(points: list[Row], method: str, run: Run) -> list[Row]:
    """A row for each cluster of `points` (those without an exemplar), with what its questions fail on the last relaxation_level."""
    rows = []
    for cluster in sorted({p["cluster"] for p in points}):
        members = sorted((p for p in points if p["cluster"] == cluster), key=lambda p: p["distance"])
        near = [p["question_id"] for p in members[:LISTED]]
        questions = _by_id(run["questions"], near)
        samples = _by_id(run["zero_shot"].filter(pc.field("degree") == 1), near)
        reasons = []
        for question_id in near:
            how, right = run.settings.exemplars, method == "new_fine_tune_cot"
            question = questions.get(question_id)
            failed = failures(question, samples.get(question_id), how, must_be_right=right) if question else {}
            told = "; ".join(text for name, text in failed.items() if name not in RELAXATION_LEVELS[-1])
            reasons.append(told or "repeats the question of an exemplar")
        over = [p | {"rank": i, "reason": why} for i, (p, why) in enumerate(zip(members, reasons, strict=False))]
        rows.append({"cluster": cluster, "cluster_size": len(members), "relaxation_level": 1, "question": None})
        rows[-1] |= {"passed_over": over, "of": len(members)}
    return rows


def _shown(row: Row, questions: dict[str, Row]) -> Row:
    over = row["passed_over"]
    counted = Counter(p["reason"].split(":")[0] for p in over).most_common()
    listed = [p | {"question": _clipped(questions.get(p["question_id"]))} for p in over[:LISTED]]
    counts = {"reasons": counted, "of": row.get("of", len(over))}
    return row | counts | {"passed_over": listed, "stand_in": row["relaxation_level"] > len(RELAXATION_LEVELS)}


def _by_id(table: pa.Table, ids: list[str]) -> dict[str, Row]:
    """The rows of `ids`, by question_id."""
    found = table.filter(pc.is_in(table["question_id"], value_set=pa.array(ids, pa.string())))
    return {row["question_id"]: row for row in found.to_pylist()}


def _clipped(question: Row | None) -> str:
    text = " ".join(question["question"].split()) if question else "–"
    return text if len(text) <= CLIPPED else f"{text[: CLIPPED - 1]}…"

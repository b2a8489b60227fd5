"""The exemplars explained: of each cluster its size, what was chosen, and why each nearer candidate was not."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.exemplars.conditions import WAIVED, failures
from raydistill.report import labels, plots, results
from raydistill.report.results import Row
from raydistill.report.run import Run

CLIPPED = 240  # characters shown of the question of a candidate that was passed over


def exemplars(run: Run) -> Row:
    """Per task: a map of its clusters and, for each way of asking with exemplars, a row for each exemplar.

    A cluster without one has a row too, with no question and all of its questions passed over.
    """
    rows = run["exemplars"].to_pylist()
    places: dict[str, list[Row]] = {}
    for point in run["clusters"].to_pylist():
        places.setdefault(point["task"], []).append(point)
    questions = {row["question_id"]: row for row in run["questions"].to_pylist()} if rows else {}
    last = results.best_informed(rows)["method"] if rows else ""
    tasks = []
    for task in dict.fromkeys([*places, *(row["task"] for row in rows)]):
        points = places.get(task, [])
        chosen = {r["question_id"]: r["cluster"] for r in rows if (r["task"], r["method"]) == (task, last)}
        tables = []
        for method in dict.fromkeys(r["method"] for r in rows if r["task"] == task):
            mine = [r for r in rows if (r["task"], r["method"]) == (task, method)]
            without = [p for p in points if p["cluster"] not in {r["cluster"] for r in mine}]
            mine = [_shown(row, questions) for row in mine + _without(without, method, questions, run)]
            mine.sort(key=lambda r: r["cluster"])
            tables.append({"name": f"exemplars of “{labels.teacher_method(method)}”", "rows": mine})
        map_ = plots.clusters(points, chosen, f"Clusters of {labels.task(task)} questions") if points else None
        about = {"n": len(points), "chosen": labels.teacher_method(last) if chosen else ""}
        tasks.append({"name": labels.task(task), "map": map_, "tables": tables, **about})
    given = bool(rows) and all(row["rung"] == 0 for row in rows)
    return {"exemplars": tasks, "exemplars_given": given}


def _without(points: list[Row], method: str, questions: dict[str, Row], run: Run) -> list[Row]:
    """A row for each cluster of `points` (those without an exemplar), with what its questions fail on the last rung."""
    if not points:
        return []
    wanted = pa.array([p["question_id"] for p in points], pa.string())
    asked = run["zero_shot"].filter((pc.field("degree") == 1) & pc.field("question_id").isin(wanted)).to_pylist()
    samples = {row["question_id"]: row for row in asked}
    clusters: dict[int, list[Row]] = {}
    for point in sorted(points, key=lambda p: p["distance"]):
        question_id, found = point["question_id"], clusters.setdefault(point["cluster"], [])
        if question_id in questions:
            right = method == "new_fine_tune_cot"
            how = run.settings.exemplars
            failed = failures(questions[question_id], samples.get(question_id), how, must_be_right=right)
            reason = "; ".join(text for name, text in failed.items() if name not in WAIVED[-1])
            reason = reason or "repeats the question of an exemplar"
            found.append(point | {"rank": len(found), "reason": reason})
    return [
        {"cluster": cluster, "cluster_size": len(found), "rung": 1, "question": None, "passed_over": found}
        for cluster, found in clusters.items()
    ]


def _shown(row: Row, questions: dict[str, Row]) -> Row:
    over = [p | {"question": _clipped(questions.get(p["question_id"]))} for p in row["passed_over"] or ()]
    counted = Counter(p["reason"].split(":")[0] for p in over).most_common()
    return row | {"passed_over": over, "reasons": counted, "stand_in": row["rung"] > len(WAIVED)}


def _clipped(question: Row | None) -> str:
    text = " ".join(question["question"].split()) if question else "–"
    return text if len(text) <= CLIPPED else f"{text[: CLIPPED - 1]}…"

"""The exemplars explained: of each cluster its size, what was chosen, and why each nearer candidate was not."""

from __future__ import annotations

from collections import Counter
from typing import Any

from raydistill.report import labels, plots, results
from raydistill.report.results import Row
from raydistill.report.run import Run

CLIPPED = 160  # characters shown of the question of a candidate that was passed over


def exemplars(run: Run) -> Row:
    """Per task: a map of its clusters and, for each way of asking with exemplars, a row for each exemplar.

    A cluster without one has a row too, without a question.
    """
    rows = run["exemplars"].to_pylist()
    places: dict[str, list[Row]] = {}
    for point in run["clusters"].to_pylist():
        places.setdefault(point["task"], []).append(point)
    wanted = {p["question_id"] for row in rows for p in row["passed_over"] or ()}
    texts = {
        row["question_id"]: row["question"]
        for row in run["questions"].select(["question_id", "question"]).to_pylist()
        if row["question_id"] in wanted
    }
    last = results.best_informed(rows)["method"] if rows else ""
    tasks = []
    for task in dict.fromkeys([*places, *(row["task"] for row in rows)]):
        points = places.get(task, [])
        chosen = {r["question_id"]: r["cluster"] for r in rows if (r["task"], r["method"]) == (task, last)}
        sizes = Counter(p["cluster"] for p in points)
        tables = []
        for method in dict.fromkeys(r["method"] for r in rows if r["task"] == task):
            mine: list[Row] = [_shown(r, texts) for r in rows if (r["task"], r["method"]) == (task, method)]
            without = sizes.keys() - {r["cluster"] for r in mine}
            mine += [{"cluster": c, "cluster_size": sizes[c], "rung": 1, "question": None} for c in without]
            mine.sort(key=lambda r: r["cluster"])
            tables.append({"name": f"exemplars of “{labels.teacher_method(method)}”", "rows": mine})
        map_ = plots.clusters(points, chosen, f"Clusters of {labels.task(task)} questions") if points else None
        about = {"n": len(points), "chosen": labels.teacher_method(last) if chosen else ""}
        tasks.append({"name": labels.task(task), "map": map_, "tables": tables, **about})
    given = bool(rows) and all(row["rung"] == 0 for row in rows)
    return {"exemplars": tasks, "exemplars_given": given}


def _shown(row: Row, texts: dict[str, str]) -> Row:
    over = [p | {"question": _clipped(texts.get(p["question_id"], p["question_id"]))} for p in row["passed_over"] or ()]
    counted: list[tuple[Any, int]] = Counter(p["reason"].split(":")[0] for p in over).most_common()
    return row | {"passed_over": over, "reasons": counted}


def _clipped(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= CLIPPED else f"{text[: CLIPPED - 1]}…"

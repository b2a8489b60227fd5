"""How the page begins: title, what came out in a sentence per task, what went wrong, and the tiles."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from raydistill.method.methods import UNTRAINED
from raydistill.report import labels, results
from raydistill.report.results import Row
from raydistill.report.run import Run


def head(run: Run) -> Row:
    """Title, what came out in a sentence per task, what went wrong, and the tiles."""
    names = list(run.short_names.values())
    who = names[0] if len(names) == 1 else f"{len(names)} students" if names else "the students"
    trials = run["students"]
    notices = [
        f"{count} of {trials.num_rows} trials failed: {error} The same command again retries them."
        for error, count in Counter(e.rstrip(".") + "." for e in trials["error"].to_pylist() if e).items()
    ]
    errors = [e for name in ("zero_shot", "few_shot") for e in run[name]["error"].to_pylist()]
    if any(errors):
        lost = f"{sum(map(bool, errors)):,} of {len(errors):,}"
        notices.append(f"{lost} teacher answers failed and count in no accuracy. The same command again retries them.")
    if run.generated:
        of = ", ".join(map(labels.task, run.generated))
        notices.append(
            f"The published questions of {of} could not be had: these are generated ones (questions.source: auto)."
        )
    if run.settings.students.checkpoint_selection == "best_on_test":
        notices.append("Epochs were chosen on the test questions: comparable with the paper, and optimistic.")
    return {
        "title": f"What {who} learned from {labels.teacher(run.settings) if run.taught else 'right answers alone'}",
        "simulated": run.simulated,
        "lead": [_sentence(run, task) for task in list(dict.fromkeys(r["task"] for r in run.judged))[:3]],
        "notices": notices,
        "tiles": _tiles(run),
    }


def _sentence(run: Run, task: str) -> str:
    """The first student's best-informed training on `task`, beside answers alone and untrained, split by split."""
    rows = [r for r in run.judged if r["task"] == task]
    rows = [r for r in rows if r["student"] == rows[0]["student"]]
    best = results.best_informed(rows)
    clauses: list[str] = []
    for row in (r for r in rows if (r["method"], r["degree"]) == (best["method"], best["degree"])):
        others = [
            labels.percent(r["accuracy"])
            + (" untrained" if r["method"] == "untrained" else f" with {labels.method(r['method'], short=True)}")
            for r in rows
            if r["split"] == row["split"] and r["method"] in ("untrained", "vanilla") and r["method"] != best["method"]
        ]
        named = labels.split(row["split"]) if clauses else f"{labels.task(task)} {labels.split(row['split'])}"
        clause = f"{labels.percent(row['accuracy'])} of the {named}"
        clauses.append(clause + (f", against {' and '.join(others)}" if others else ""))
    trained = labels.method(best["method"], best["degree"], short=True)
    start = "Untrained" if best["method"] in UNTRAINED else f"Trained on {trained}"
    return f"{start}, {run.short_names[best['student']]} answers {'; '.join(clauses)}."


def _tiles(run: Run) -> list[Row]:
    tiles = []
    asked = [r for r in run.asked_overall if r["degree"] == 1]
    if asked:
        ways = list(dict.fromkeys(r["method"] for r in asked))
        ways = sorted(ways, key=lambda m: labels.order(m, labels.METHODS))
        ends = list(dict.fromkeys([ways[0], ways[-1]]))
        right = {m: {r["task"]: r["accuracy"] for r in asked if r["method"] == m} for m in ends}
        both = set.intersection(*({*of_task} for of_task in right.values())) or {*right[ends[0]]}  # like with like
        ends = [m for m in ends if both <= {*right[m]}]
        shares = [fmean(right[m][task] for task in both) for m in ends]
        tasks = len(both)
        note = " → ".join(labels.teacher_method(m) for m in ends) + (f", mean of {tasks} tasks" if tasks > 1 else "")
        tiles.append(_tile("Teacher right", " → ".join(f"{100 * s:.1f}" for s in shares) + " %", note))
    curated = [r for r in run.curated if r["asked"]]
    if curated:
        best = results.best_informed(curated)
        mine = [r for r in curated if (r["method"], r["degree"]) == (best["method"], best["degree"])]
        value = f"{sum(r['kept'] for r in mine):,} of {sum(r['asked'] for r in mine):,}"
        tiles.append(_tile("Rationales kept", value, "answers to the train questions, kept to train on"))
    for split in (s for s in labels.SPLITS if s in run.splits):
        rows = [r for r in run.judged if r["split"] == split]
        if rows:
            best = results.best_informed(rows)
            mine = [r for r in rows if (r["method"], r["degree"]) == (best["method"], best["degree"])]
            note = labels.method(best["method"], best["degree"], short=True)
            note += f", mean of {len(mine)} students and tasks" if len(mine) > 1 else ""
            share = labels.percent(fmean(r["accuracy"] for r in mine))
            tiles.append(_tile(f"Student right, {labels.split(split)}", share, note))
    if run.spent:
        tokens = run.spent["prompt_tokens"] + run.spent["completion_tokens"]
        tiles.append(_tile("Spend", run.cost(run.spent["usd"]), f"{run.spent['calls']:,} calls, {tokens:,} tokens"))
    return tiles


def _tile(name: str, value: str, note: str) -> Row:
    return {"name": name, "value": value, "note": note}

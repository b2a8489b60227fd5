"""What each section of the report shows: a run's figures as plain values, texts and charts for `page.html`."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tasks
from raydistill.report import labels, paper, plots, results
from raydistill.report.results import Row
from raydistill.report.run import Run

SHOWN_REASONS = 4  # per exemplar


def _place(run: Run, key: tuple[str, str, str]) -> tuple[int, int, int]:
    """Sort key of (task, student, split): students of a task together, their splits side by side."""
    tasks, names = (list(dict.fromkeys(r[c] for r in run.students)) for c in ("task", "student"))
    return tasks.index(key[0]), names.index(key[1]), labels.order(key[2], labels.SPLITS)


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
        notices.append(f"{lost} teacher answers failed and count in no figure. The same command again retries them.")
    if run.settings.students.select == "best_on_test":
        notices.append("Epochs were chosen on the test questions: comparable with the paper, and optimistic.")
    return {
        "title": f"What {who} learned from {labels.teacher(run.settings) if run.taught else 'right answers alone'}",
        "simulated": run.simulated,
        "lead": [_sentence(run, task) for task in list(dict.fromkeys(r["task"] for r in _judged(run)))[:3]],
        "notices": notices,
        "tiles": _tiles(run),
    }


def _judged(run: Run) -> list[Row]:
    return [r for r in run.students if r["accuracy"] is not None]


def _sentence(run: Run, task: str) -> str:
    """The first student's best-informed training on `task`, beside answers alone and untrained, split by split."""
    rows = [r for r in _judged(run) if r["task"] == task]
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
        clause = labels.percent(row["accuracy"])
        clause += "" if clauses else f" of the {labels.task(task)} questions"
        clause += f" ({labels.split(row['split'], run.splits)})" if len(run.splits) > 1 else ""
        clauses.append(clause + (f", against {' and '.join(others)}" if others else ""))
    trained = labels.method(best["method"], best["degree"], short=True)
    start = "Untrained" if best["method"] == "untrained" else f"Trained on {trained}"
    return f"{start}, {run.short_names[best['student']]} answers {'; '.join(clauses)}."


def _tiles(run: Run) -> list[Row]:
    tiles = []
    asked = [r for r in run.asked_overall if r["degree"] == 1]
    if asked:
        ways = list(dict.fromkeys(r["method"] for r in asked))
        ways = sorted(ways, key=lambda m: labels.order(m, labels.METHODS))
        ends = list(dict.fromkeys([ways[0], ways[-1]]))
        shares = [fmean(r["accuracy"] for r in asked if r["method"] == m) for m in ends]
        tasks = len({r["task"] for r in asked})
        note = " → ".join(labels.teacher_method(m) for m in ends) + (f", mean of {tasks} tasks" if tasks > 1 else "")
        tiles.append(_tile("Teacher right", " → ".join(f"{100 * s:.1f}" for s in shares) + " %", note))
    curated = [r for r in run.curated if r["asked"]]
    if curated:
        best = results.best_informed(curated)
        mine = [r for r in curated if (r["method"], r["degree"]) == (best["method"], best["degree"])]
        value = f"{sum(r['kept'] for r in mine):,} of {sum(r['asked'] for r in mine):,}"
        tiles.append(_tile("Rationales kept", value, "answers to the train questions, kept to train on"))
    for split in (s for s in labels.SPLITS if s in run.splits):
        rows = [r for r in _judged(run) if r["split"] == split]
        if rows:
            best = results.best_informed(rows)
            mine = [r for r in rows if (r["method"], r["degree"]) == (best["method"], best["degree"])]
            note = labels.method(best["method"], best["degree"], short=True)
            note += f", mean of {len(mine)} students and tasks" if len(mine) > 1 else ""
            share = labels.percent(fmean(r["accuracy"] for r in mine))
            tiles.append(_tile(f"Student right, {labels.split(split, run.splits)}", share, note))
    if run.spent:
        tokens = run.spent["prompt_tokens"] + run.spent["completion_tokens"]
        tiles.append(_tile("Spend", run.cost(run.spent["usd"]), f"{run.spent['calls']:,} calls, {tokens:,} tokens"))
    return tiles


def _tile(name: str, value: str, note: str) -> Row:
    return {"name": name, "value": value, "note": note}


def students(run: Run) -> Row:
    """Charts by task and split, all figures, and the paired comparisons."""
    guess = results.chance(run["questions"])
    charts: dict[str, list[Row]] = {}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in run.students:
        groups.setdefault((row["task"], row["student"], row["split"]), []).append(row)
    for i, ((task, student, split), mine) in enumerate(sorted(groups.items(), key=lambda item: _place(run, item[0]))):
        rows = [row | {"label": labels.method(row["method"], row["degree"], short=True)} for row in mine]
        name, words = run.short_names[student], labels.split(split, run.splits)
        svg = plots.bars(f"a{i}", rows, f"{name} on {labels.task(task)}, {words}", guess.get((task, split)))
        n = max(row["n"] for row in rows)
        charts.setdefault(labels.task(task), []).append({"student": name, "split": words, "n": n, "svg": svg})

    def heading(row: Row) -> str:
        return f"{labels.task(row['task'])}, {labels.split(row['split'], run.splits)}: {row['student']}"

    return {
        "accuracy": charts,
        "students": [row | {"heading": heading(row)} for row in run.students],
        "seeds": max((r["seeds"] for r in run.students), default=1),
        "has_chance": any((r["task"], r["split"]) in guess for r in run.students),
        "pairs": [
            {
                "heading": heading(row["first"]),
                "seed": row["first"]["seed"],
                "first": labels.method(row["first"]["method"], row["first"]["degree"], short=True),
                "second": labels.method(row["second"]["method"], row["second"]["degree"], short=True),
                "pair": row["pair"],
            }
            for row in results.comparisons(run["results"], run["predictions"])
        ],
    }


def teacher(run: Run) -> Row:
    """The teacher's figures and what became of its answers."""
    splits = {r["split"] for r in run.asked}
    dots = [
        r | {"task": labels.task(r["task"]), "label": labels.teacher_method(r["method"])}
        for r in run.asked_overall
        if r["degree"] == 1
    ]
    names = [n for n in results.unique(run["few_shot"], "teacher") + results.unique(run["zero_shot"], "teacher") if n]
    return {
        "teacher": [
            row
            | {
                "heading": labels.task(row["task"]),
                "label": labels.teacher_method(row["method"], row["degree"]),
                "split_name": labels.split(row["split"], splits),
            }
            for row in run.asked
        ],
        "teacher_name": ", ".join(dict.fromkeys(names))
        if names and not run.simulated
        else labels.teacher(run.settings),
        "few_shot": bool(run["few_shot"].num_rows),
        "shift": plots.shift("shift", dots, "Teacher accuracy by way of asking") if dots else None,
        "shift_note": "all questions, one greedy answer to each",
        "curation": [
            row
            | {
                "heading": labels.task(row["task"]),
                "reasons": row["reasons"].most_common(),
                "of": row["asked"] or row["candidates"] or 1,
            }
            for row in run.curated
        ],
    }


def exemplars(run: Run) -> Row:
    """The chosen exemplars and a map of the clusters of each task."""
    rows = run["exemplars"].to_pylist()
    for row in rows:
        row["heading"] = f"{labels.task(row['task'])}: exemplars of “{labels.teacher_method(row['method'])}”"
        counted = Counter(p["reason"] for p in row["passed_over"] or ()).most_common()
        row["reasons"], row["more"] = counted[:SHOWN_REASONS], sum(n for _, n in counted[SHOWN_REASONS:])
    maps = []
    last = results.best_informed(rows)["method"] if rows else ""
    points = run["clusters"].to_pylist()
    for i, task in enumerate(results.unique(run["clusters"], "task")):
        mine = [p for p in points if p["task"] == task]
        chosen = {r["question_id"]: r["cluster"] for r in rows if r["task"] == task and r["method"] == last}
        svg = plots.clusters(f"c{i}", mine, chosen, f"Clusters of {labels.task(task)} questions")
        maps.append({"name": labels.task(task), "n": len(mine), "svg": svg, "chosen": bool(chosen)})
    given = bool(rows) and all(row["rung"] == 0 for row in rows)
    return {"exemplars": rows, "maps": maps, "exemplars_given": given}


def training(run: Run) -> Row:
    """Learning curves (trials of two epochs or more) and one row per trial."""
    trials = [r for r in run["students"].to_pylist() if r["method"] != "untrained" or r["error"]]
    curves = []
    for i, task in enumerate(dict.fromkeys(r["task"] for r in trials)):
        charts = []
        for j, student in enumerate(dict.fromkeys(r["student"] for r in trials if r["task"] == task)):
            mine = [r for r in trials if (r["task"], r["student"]) == (task, student) and len(r["epochs"] or ()) > 1]
            for share, columns in enumerate((("train_loss", "validation_loss"), _ACCURACIES)):
                lines = [line for trial in mine for line in _lines(trial, columns)]
                if lines:
                    words = f"{columns[0]}, dashed: {columns[1]}" if any(x["dashed"] for x in lines) else columns[0]
                    title = f"{run.short_names[student]}, {words.replace('_', ' ')}"
                    charts.append(plots.curves(f"l{i}-{j}-{share}", lines, title, share=bool(share)))
        if charts:
            curves.append({"name": labels.task(task), "charts": charts})
    for row in trials:
        losses = [e["train_loss"] for e in row["epochs"] or () if e["train_loss"] is not None]
        row["task_name"], row["last_loss"] = labels.task(row["task"]), losses[-1] if losses else None
    return {"curves": curves, "trials": trials}


_ACCURACIES = ("test_accuracy", "validation_accuracy")


def _lines(trial: Row, columns: tuple[str, str]) -> list[Row]:
    """The trial's curves; the second column's is dashed."""
    lines = []
    for column in columns:
        epochs = [e for e in trial["epochs"] if e[column] is not None]
        if epochs:
            label = labels.method(trial["method"], trial["degree"], short=True)
            points = {"epochs": [e["epoch"] for e in epochs], "values": [e[column] for e in epochs]}
            look = {"method": trial["method"], "degree": trial["degree"], "dashed": column == columns[1]}
            lines.append({"label": label, **look, **points})
    return lines


def ledger(run: Run) -> Row:
    """The ledger's rows, with their sum last."""
    rows = [row | {"total": False} for row in run["ledger"].to_pylist()]
    if run.spent:
        rows.append(run.spent | {"stage": "total", "task": "", "kind": "", "total": True})
    for row in rows:
        row["cost"] = run.cost(row["usd"])
        row["stage"], row["task"] = row["stage"].replace("_", "-"), labels.task(row["task"])
    return {"ledger": rows}


def examples(run: Run) -> Row:
    """A few test questions with the teacher's greedy answer (few-shot, where there is one) and the students'."""
    chosen = results.examples(run["results"], run["predictions"])
    questions = {r["question_id"]: r for r in _of(run["questions"], chosen)}
    asked: dict[str, Row] = {}
    for row in _of(run["zero_shot"], chosen) + _of(run["few_shot"], chosen):
        if row["degree"] == 1 and not row["error"]:
            asked[row["question_id"]] = row | {"label": labels.teacher_method(row["method"])}
    shown = []
    for e in (e for e in chosen if e["question_id"] in questions):
        texts = {name: questions[e["question_id"]][name] for name in ("question", "answer")}
        names = {"task_name": labels.task(e["task"]), "split_name": labels.split(e["split"], run.splits)}
        shown.append(e | texts | names | {"teacher": asked.get(e["question_id"])})
    return {"examples": shown}


def judges(run: Run) -> Row:
    """How often the robust and the published judge differ, with some of the answers on which they do."""
    judged: list[tuple[str, int, int]] = []
    differing: list[Row] = []
    for name, answers in (("teacher", [run["zero_shot"], run["few_shot"]]), ("student", [run["predictions"]])):
        rows, of = results.disagreements(*answers)
        if of:
            judged.append((name, len(rows), of))
            differing += [row | {"by": name} for row in rows[:4]]
    questions = {r["question_id"]: r for r in _of(run["questions"], differing)}
    for row in differing:
        row |= {name: questions.get(row["question_id"], {}).get(name, "") for name in ("question", "answer")}
    return {"judges": judged, "differing": differing, "judge": run.settings.teacher.judge}


def leakage(run: Run) -> Row:
    """Per task and test split: the share of its questions that train questions give away in one form or another."""
    forms = ("exact", "masked_digits", "template", "context", "other_task")
    rows = [
        {"heading": labels.task(row["task"]), "split": labels.split(row["split"], run.splits), "n": row["n"]}
        | {form: row[form] / row["n"] for form in forms}
        for row in tasks.leakage(run["questions"]).to_pylist()
    ]
    return {"leakage": rows}


def paper_beside(run: Run) -> Row:
    """Per task that the paper has: this run's figures and the published ones, method by method."""
    ours: dict[str, dict[tuple[str, int, str], float]] = {}
    for row in (r for r in _judged(run) if r["split"] == "test"):
        ours.setdefault(row["task"], {})[row["method"], row["degree"], row["student"]] = row["baseline_accuracy"]
    for row in (r for r in run.asked_overall if r["task"] in ours):
        ours[row["task"]][row["method"], row["degree"], "teacher"] = row["baseline_accuracy"]
    found: list[dict[str, Any]] = []
    for task, own in ours.items():
        printed = paper.figures(task)
        if printed:
            rows = sorted({k[:2] for k in (*own, *printed)}, key=lambda k: (labels.order(k[0], labels.METHODS), k[1]))
            columns = [list(dict.fromkeys(["teacher", *(name for *_, name in side)])) for side in (own, printed)]
            values = [
                {
                    "method": method,
                    "degree": degree,
                    "own": [own.get((method, degree, name)) for name in columns[0]],
                    "published": [printed.get((method, degree, name)) for name in columns[1]],
                }
                for method, degree in rows
            ]
            found.append({"name": labels.task(task), "own": columns[0], "published": columns[1], "rows": values})
    return {"paper": found, "paper_notes": paper.tables()["notes"], "cite": paper.tables()["cite"]}


def _of(table: pa.Table, rows: list[Row]) -> list[Row]:
    """The rows of `table` that share a question_id with `rows`."""
    ids = pa.array(sorted({r["question_id"] for r in rows}), pa.string())
    return table.filter(pc.is_in(table["question_id"], value_set=ids)).to_pylist()

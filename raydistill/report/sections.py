"""What each section of the report shows: a run's figures as plain values, texts and charts for `page.html`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tasks
from raydistill.curation import diversity
from raydistill.method.methods import UNTRAINED
from raydistill.report import epochs, labels, paper, plots, results, together
from raydistill.report.results import Row
from raydistill.report.run import Run


def _place(run: Run, key: tuple[str, str, str]) -> tuple[int, int, int]:
    """Sort key of (task, student, split): students of a task together, their splits side by side."""
    tasks, names = (list(dict.fromkeys(r[c] for r in run.students)) for c in ("task", "student"))
    return tasks.index(key[0]), names.index(key[1]), labels.order(key[2], labels.SPLITS)


def students(run: Run) -> Row:
    """Charts by task and split, all figures beside what guessing gives, and the paired comparisons."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in run.students:
        groups.setdefault((row["task"], row["student"], row["split"]), []).append(row)
    charts: dict[str, list[Row]] = {}
    figures = []
    for (task, student, split), rows in sorted(groups.items(), key=lambda item: _place(run, item[0])):
        guess = run.guesses.get((task, split))
        shown = [_labelled(row) | {"heading": ""} for row in rows]
        chart = plots.bars(shown, chance=guess.chance if guess else None)
        about = {"student": run.short_names[student], "split": labels.split(split)}
        charts.setdefault(labels.task(task), []).append(about | {"n": max(r["n"] for r in rows), "chart": chart})
        figures.append({"heading": _heading(run, rows[0]), "guess": guess, "rows": rows})
    return {
        "accuracy": charts,
        "figures": figures,
        "seeds": max((r["seeds"] for r in run.students), default=1),
        "has_chance": any(f["guess"] for f in figures),
        "pairs": [
            {
                "heading": _heading(run, row["first"]),
                "seed": row["first"]["seed"],
                "first": labels.method(row["first"]["method"], row["first"]["degree"], short=True),
                "second": labels.method(row["second"]["method"], row["second"]["degree"], short=True),
                "pair": row["pair"],
            }
            for row in results.comparisons(run["results"], run["predictions"])
        ],
    }


def _heading(run: Run, row: Row) -> str:
    return f"{labels.task(row['task'])}, {labels.split(row['split'])}: {row['student']}"


def _labelled(row: Row) -> Row:
    label = labels.method(row["method"], row["degree"], short=True)
    return row | {"label": label.replace("D = ", "D\u00a0=\u00a0")}  # does not break there


def by_epoch(run: Run) -> Row:
    """Every trained trial's accuracy with its epoch chosen in three ways, and why there are dashes."""
    heading = {"split": "test"}
    rows = [row | {"heading": _heading(run, row | heading)} for row in run.by_epoch]
    why = [(labels.EPOCHS[way][0], reason) for way, found in epochs.missing(rows).items() for reason in found]
    return {"by_epoch": rows, "epoch_ways": {way: whole for way, (whole, _) in labels.EPOCHS.items()}, "epoch_why": why}


def cascade(run: Run) -> Row:
    """Curves and figures of student and teacher together, and what the threshold was chosen for."""
    charts: dict[str, list[Row]] = {}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in run.together:
        groups.setdefault((row["task"], row["student"], row["split"]), []).append(row)
    for (task, student, split), rows in groups.items():
        about: Row = {"student": run.short_names[student], "split": labels.split(split)}
        about["dashed"] = any(row["confidence"] == "votes" for row in rows)
        title = f"{about['student']} and its teacher on {labels.task(task)}"
        chart = plots.cascades([together.line(row) for row in rows], title)
        charts.setdefault(labels.task(task), []).append(about | {"chart": chart})
    return {
        "cascade": charts,
        "together": [
            row | {"heading": _heading(run, row), "by": labels.CONFIDENCE[row["confidence"]]} for row in run.together
        ],
        "cascade_goal": run.manifests.get("cascade", {}).get("goal", ""),
    }


def teacher(run: Run) -> Row:
    """The teacher's figures and what became of its answers."""
    dots = [
        row | {"heading": labels.task(row["task"]), "label": labels.teacher_method(row["method"])}
        for row in run.asked_overall
        if row["degree"] == 1
    ]
    names = [n for n in results.unique(run["few_shot"], "teacher") + results.unique(run["zero_shot"], "teacher") if n]
    return {
        "teacher": [
            row
            | {
                "heading": labels.task(row["task"]),
                "label": labels.teacher_method(row["method"], row["degree"]),
                "split_name": labels.split(row["split"]),
            }
            for row in run.asked
        ],
        "teacher_name": ", ".join(dict.fromkeys(names))
        if names and not run.simulated
        else labels.teacher(run.settings),
        "few_shot": bool(run["few_shot"].num_rows),
        "shift": plots.bars(dots, dots=True) if dots else None,
        "shift_note": "all questions, one greedy answer to each",
        "curation": [
            row
            | {
                "heading": labels.task(row["task"]),
                "reasons": row["reasons"].most_common(),
                "verdicts": row["verdicts"].most_common(),
                "of": row["asked"] or row["candidates"] or 1,
            }
            for row in run.curated
        ],
        "near": labels.percent(diversity.NEAR, 0),
        "alike": [row | {"heading": labels.task(row["task"])} for row in diversity.summary(run["training"])],
    }


def training(run: Run) -> Row:
    """Learning curves (trials of two epochs or more) and one row per trial."""
    trials = [r for r in run["students"].to_pylist() if r["method"] not in UNTRAINED or r["error"]]
    trials.sort(key=lambda r: labels.order(r["method"], labels.METHODS))
    trials.sort(key=lambda r: (r["task"], r["student"]))
    curves = []
    for task in dict.fromkeys(r["task"] for r in trials):
        charts = []
        for student in dict.fromkeys(r["student"] for r in trials if r["task"] == task):
            mine = [r for r in trials if (r["task"], r["student"]) == (task, student) and len(r["epochs"] or ()) > 1]
            for share, columns in enumerate((("train_loss", "validation_loss"), _ACCURACIES)):
                lines = [line for trial in mine for line in _lines(trial, columns)]
                if lines:
                    words = f"{columns[0]}, dashed: {columns[1]}" if any(x["dashed"] for x in lines) else columns[0]
                    title = f"{run.short_names[student]}, {words.replace('_', ' ')}{', %' * share}"
                    charts.append({"title": title, "chart": plots.curves(lines, title, share=bool(share))})
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
        points = [(e["epoch"], e[column]) for e in trial["epochs"] if e[column] is not None]
        if points:
            label = labels.method(trial["method"], trial["degree"], short=True)
            look = {"method": trial["method"], "degree": trial["degree"], "dashed": column == columns[1]}
            lines.append({"label": label, "points": points, **look})
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
        names = {"task_name": labels.task(e["task"]), "split_name": labels.split(e["split"])}
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
    return {"judges": judged, "differing": differing, "judge": run.settings.teacher.extraction}


def leakage(run: Run) -> Row:
    """Per task and test split: the share of its questions that train questions give away in one form or another."""
    forms = ("exact", "masked_digits", "template", "context", "other_task")
    rows = [
        {"heading": labels.task(row["task"]), "split": labels.split(row["split"]), "n": row["n"]}
        | {form: row[form] / row["n"] for form in forms}
        for row in tasks.leakage(run["questions"]).to_pylist()
    ]
    return {"leakage": rows}


def paper_beside(run: Run) -> Row:
    """Per task that the paper has: this run's figures and the published ones, method by method."""
    ours: dict[str, dict[tuple[str, int, str], float]] = {}
    for row in (r for r in run.judged if r["split"] == "test"):
        ours.setdefault(row["task"], {})[row["method"], row["degree"], row["student"]] = row["published_accuracy"]
    for row in (r for r in run.asked_overall if r["task"] in ours):
        ours[row["task"]][row["method"], row["degree"], "teacher"] = row["published_accuracy"]
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

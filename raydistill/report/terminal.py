"""The closing summary in the terminal; plain text where the output is no terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raydistill.config import Settings
from raydistill.report import labels, page
from raydistill.report.results import Row
from raydistill.report.run import Run, read
from raydistill.store import Store


def show(store: Store, settings: Settings, console: Console | None = None) -> None:
    """Print what a run found: the teacher's answers, the rows kept, the students, the spend and the report's path."""
    console = console or Console(highlight=False)
    run = read(store, settings)
    who = labels.teacher(settings)
    console.print()
    console.print(
        Text.assemble(("Teacher: ", "bold"), who, ", a program that imitates one, not a model" * run.simulated)
    )
    if run.asked_overall:
        console.print(Padding(_teacher(run), (0, 0, 0, 1)))
    for task in dict.fromkeys(r["task"] for r in run.students):
        rows = [r for r in run.students if r["task"] == task]
        console.print(Text.assemble(("Students: ", "bold"), f"{labels.task(task)}, right answers with 95 % interval"))
        console.print(Padding(_students(rows, run), (0, 0, 0, 1)))
        for row in (r for r in rows if r["error"]):
            name = f"{run.short_names[row['student']]}, {labels.method(row['method'], row['degree'], short=True)}"
            console.print(Text(f"  {name}: {row['error']}", style="red"))
    if run.spent:
        tokens = run.spent["prompt_tokens"] + run.spent["completion_tokens"]
        cost = "no money (simulated)" if run.simulated else run.cost(run.spent["usd"])
        console.print(Text.assemble(("Spent: ", "bold"), f"{cost}, {run.spent['calls']:,} calls, {tokens:,} tokens"))
    if store.read_text(page.NAME) is not None:
        # One line whatever the width, so that a terminal can make a link of it.
        console.print(Text.assemble(("Report: ", "bold"), page.location(store)), soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    return table


def _share(row: Row) -> Text:
    interval = labels.interval(row["ci_low"], row["ci_high"])
    return Text.assemble((f"{100 * row['accuracy']:5.1f} %", "bold"), "  ", (interval, "dim"))


def _teacher(run: Run) -> Table:
    tasks = {r["task"] for r in run.asked_overall}
    kept = {(r["task"], r["method"], r["degree"]): r for r in run.curated}
    table = _table(
        *(["Task"] if len(tasks) > 1 else []), "Asked", "Right, 95 % interval", "Questions", "Train rows kept"
    )
    last = ""
    for row in run.asked_overall:
        cells = [Text(labels.task(row["task"]) if row["task"] != last else "")] if len(tasks) > 1 else []
        last = row["task"]
        curated = kept.get((row["task"], row["method"], row["degree"]))
        rows_kept = f"{curated['kept']:,} of {curated['asked'] or curated['candidates']:,}" if curated else "not used"
        table.add_row(
            *cells,
            Text(labels.teacher_method(row["method"], row["degree"])),
            _share(row),
            Text(f"{row['questions']:,}", justify="right"),
            Text(rows_kept),
        )
    return table


def _students(rows: list[Row], run: Run) -> Table:
    """One line for each student and training of a task, one column for each split."""
    splits = list(dict.fromkeys(r["split"] for r in rows))
    counts = {split: max(r["n"] for r in rows if r["split"] == split) for split in splits}
    heads = [f"{labels.split(split, splits)} (n = {counts[split]:,})" for split in splits]
    seeds = max(r["seeds"] for r in rows)
    table = _table("Student", f"Trained on{f', mean of {seeds} seeds' if seeds > 1 else ''}", *heads)
    cells: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row["student"], row["method"], row["degree"]), {})[row["split"]] = row
    last = ""
    for (student, method, degree), row in cells.items():
        shown = [
            _share(row[split]) if split in row and row[split]["accuracy"] is not None else Text("failed", style="red")
            for split in splits
        ]
        name = run.short_names[student] if student != last else ""
        last = student
        table.add_row(Text(name), Text(labels.method(method, degree, short=True)), *shown)
    return table

"""The closing summary in the terminal; plain text where the output is no terminal."""

from __future__ import annotations

from collections import Counter

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raydistill.config import Settings
from raydistill.report import epochs, labels, page
from raydistill.report.results import Row
from raydistill.report.run import Run, read
from raydistill.runtime.store import Store


def show(store: Store, settings: Settings, console: Console | None = None) -> None:
    """Print what a run found: the teacher's answers, the rows kept, the students, the spend and the report's path."""
    console = console or Console(highlight=False)
    run = read(store, settings)
    console.print()
    if run.taught:
        notice = ", a program that imitates one, not a model" if run.simulated else ""
        console.print(Text.assemble(("Teacher: ", "bold"), labels.teacher(settings), notice))
    if run.asked_overall:
        console.print(Padding(_teacher(run), (0, 0, 0, 1)))
    for task in dict.fromkeys(r["task"] for r in run.students):
        rows = [r for r in run.students if r["task"] == task]
        console.print(Text.assemble(("Students: ", "bold"), f"{labels.task(task)}, right answers with 95 % interval"))
        console.print(Padding(_students(rows, run), (0, 0, 0, 1)))
    if run.by_epoch:
        _print_epochs(run, console)
    if run.together:
        for task, split in dict.fromkeys((r["task"], r["split"]) for r in run.together):
            where = f"{labels.task(task)}, {labels.split(split)}; asked: share passed on to the teacher"
            console.print(Text.assemble(("Student and teacher: ", "bold"), where))
            rows = [r for r in run.together if (r["task"], r["split"]) == (task, split)]
            console.print(Padding(_together(rows, run), (0, 0, 0, 1)))
    if run.generated:
        names = ", ".join(map(labels.task, run.generated))
        console.print(f"The published questions of {names} could not be had; these are generated ones.")
    for error, count in Counter(e for e in run["students"]["error"].to_pylist() if e).items():
        console.print(Text(f"{count} of {run['students'].num_rows} trials failed: {error}", style="red"))
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
    """One line for each way of asking, under its task where there are several."""
    kept = {(r["task"], r["method"], r["degree"]): r for r in run.curated}
    table = _table("Asked", "Right, 95 % interval", "Questions", "Kept")
    tasks = list(dict.fromkeys(r["task"] for r in run.asked_overall))
    for task in tasks:
        if len(tasks) > 1:
            table.add_row(Text(labels.task(task), style="bold"))
        for row in (r for r in run.asked_overall if r["task"] == task):
            curated = kept.get((task, row["method"], row["degree"]))
            table.add_row(
                Text("  " * (len(tasks) > 1) + labels.teacher_method(row["method"], row["degree"])),
                _share(row),
                Text(f"{row['questions']:,}", justify="right"),
                Text(f"{curated['kept']:,} of {curated['candidates']:,}" if curated else "for exemplars"),
            )
    return table


def _students(rows: list[Row], run: Run) -> Table:
    """One line for each student and training of a task, one column for each split."""
    splits = list(dict.fromkeys(r["split"] for r in rows))
    counts = {split: max(r["n"] for r in rows if r["split"] == split) for split in splits}
    heads = [f"{labels.split(split)}\n(n = {counts[split]:,})" for split in splits]
    seeds = max(r["seeds"] for r in rows)
    table = _table("Student", f"Trained on{f', mean of {seeds} seeds' if seeds > 1 else ''}", *heads)
    cells: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row["student"], row["method"], row["degree"]), {})[row["split"]] = row
    guesses = [run.guesses.get((rows[0]["task"], split)) for split in splits]
    if all(guesses):
        table.add_row("random guess", "", *(f"{100 * g.chance:5.1f} %" for g in guesses if g))
    answers = {g.answer for g in guesses if g and g.majority is not None}
    if len(answers) == 1:
        shares = [f"{100 * g.majority:5.1f} %" if g and g.majority is not None else "" for g in guesses]
        table.add_row(Text(f"always “{answers.pop()}”"), "", *shares)
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


def _print_epochs(run: Run, console: Console) -> None:
    """The three ways of choosing an epoch side by side where they are known, and why the others are not."""
    ways = [way for way in labels.EPOCHS if any(row[way].accuracy is not None for row in run.by_epoch)]
    if len(ways) > 1:
        optimistic = "; the best on test is comparable with the paper, and optimistic" * ("best_on_test" in ways)
        console.print(Text.assemble(("Epochs: ", "bold"), f"right test answers by the epoch's choice{optimistic}"))
        table = _table("Task", "Student", "Trained on", *(labels.EPOCHS[way][1].capitalize() for way in ways))
        for row in epochs.over_seeds(run.by_epoch):
            names = labels.task(row["task"]), run.short_names[row["student"]]
            trained = labels.method(row["method"], row["degree"], short=True)
            table.add_row(*map(Text, names), Text(trained), *(labels.percent(row[way]) for way in ways))
        console.print(Padding(table, (0, 0, 0, 1)))
    for way, reasons in epochs.missing(run.by_epoch).items():
        console.print(Text(f"Not measured: {labels.EPOCHS[way][0]}, as {'; '.join(reasons)}", style="dim"))


def _together(rows: list[Row], run: Run) -> Table:
    """Per curve: the student alone, the teacher alone, and both at the chosen threshold."""
    table = _table("Student", "Trained on", "Sure by", "Student", "Teacher", "Together", "Asked")
    for row in rows:
        trained = labels.method(row["method"], row["degree"], short=True)
        names = run.short_names[row["student"]], trained, labels.CONFIDENCE[row["confidence"]]
        alone, teacher, chosen = (
            row["alone"],
            row["teacher"],
            row["chosen"] or {"accuracy": None, "teacher_fraction": None},
        )
        shares = alone, teacher, chosen["accuracy"], chosen["teacher_fraction"]
        table.add_row(*map(Text, names), *map(labels.percent, shares))
    return table

"""The closing summary in the terminal; plain text where the output is no terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raydistill.config import Settings
from raydistill.report import epochs, labels, page, records
from raydistill.report.accuracy import StudentAccuracy
from raydistill.report.cascade import Curve
from raydistill.report.guesses import Guess
from raydistill.report.run import RunReport, read
from raydistill.report.teacher_accuracy import TeacherAccuracy
from raydistill.runtime import formatting
from raydistill.runtime.store import Store


def show(store: Store, settings: Settings, console: Console | None = None) -> None:
    """Print what came out: the teacher's answers, the rows kept, the students, the spend and the report's path."""
    console = console or Console(highlight=False)
    run = read(store, settings)
    console.print()
    _print_teacher(run, console)
    for task, rows in records.group(run.students, lambda row: row.task).items():
        _print_title(console, "Students", f"{labels.task(task)}, right answers with 95 % interval")
        _print_table(console, _students(rows, run))
    if run.by_epoch:
        _print_epochs(run, console)
    for (task, split), curves in records.group(run.curves, lambda curve: (curve.task, curve.split)).items():
        about = f"{labels.task(task)}, {labels.split(split)}; passed on: share that goes to the teacher"
        _print_title(console, "Student and teacher", about)
        _print_table(console, _cascade(curves, run))
    _print_problems(run, console)
    if run.spent:
        cost = "no money (simulated)" if run.simulated else run.cost(run.spent.usd)
        _print_title(console, "Spent", f"{cost}, {run.spent.calls:,} calls, {run.spent.tokens:,} tokens")
    if store.read_text(page.NAME) is not None:
        # One line whatever the width, so that a terminal can make a link of it.
        console.print(Text.assemble(("Report: ", "bold"), page.location(store)), soft_wrap=True)


def _print_title(console: Console, name: str, text: str) -> None:
    console.print(Text.assemble((f"{name}: ", "bold"), text))


def _print_table(console: Console, table: Table) -> None:
    console.print(Padding(table, (0, 0, 0, 1)))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    return table


def _accuracy(row: StudentAccuracy | TeacherAccuracy | None) -> Text:
    """Return an accuracy with its interval; "failed" if there is none."""
    if row is None or row.accuracy is None:
        return Text("failed", style="red")
    interval = labels.interval(row.ci_low, row.ci_high)
    return Text.assemble((_per_cent(row.accuracy), "bold"), "  ", (interval, "dim"))


def _per_cent(fraction: float) -> str:
    return f"{100 * fraction:5.1f} %"


def _print_teacher(run: RunReport, console: Console) -> None:
    if run.asks_teacher:
        notice = ", a program that imitates one, not a model" if run.simulated else ""
        _print_title(console, "Teacher", labels.teacher(run.settings) + notice)
    if run.teacher_overall:
        _print_table(console, _teacher(run))


def _teacher(run: RunReport) -> Table:
    """Make one line for each way to prompt, under its task if there are several."""
    curated = {(row.task, row.method, row.degree): row for row in run.curated}
    table = _table("Asked", "Right, 95 % interval", "Questions", "Kept")
    by_task = records.group(run.teacher_overall, lambda row: row.task)
    indent = "  " if len(by_task) > 1 else ""
    for task, rows in by_task.items():
        if indent:
            table.add_row(Text(labels.task(task), style="bold"))
        for row in rows:
            outcome = curated.get((task, row.method, row.degree))
            kept = f"{outcome.kept:,} of {outcome.candidates:,}" if outcome else "for exemplars"
            label = Text(indent + labels.teacher_method(row.method, row.degree))
            table.add_row(label, _accuracy(row), Text(f"{row.questions:,}", justify="right"), Text(kept))
    return table


def _students(rows: Sequence[StudentAccuracy], run: RunReport) -> Table:
    """Make one line for each student and training of a task, one column for each split."""
    by_split = records.group(rows, lambda row: row.split)
    titles = []
    for split, of_split in by_split.items():
        titles.append(f"{labels.split(split)}\n(n = {max(row.n for row in of_split):,})")
    seeds = max(row.seeds for row in rows)
    over_seeds = f", mean of {seeds} seeds" if seeds > 1 else ""
    table = _table("Student", f"Trained on{over_seeds}", *titles)
    _add_guesses(table, [run.guesses.get((rows[0].task, split)) for split in by_split])
    last = ""
    for (student, method, degree), training in records.group(rows, lambda r: (r.student, r.method, r.degree)).items():
        rows_of_splits = {row.split: row for row in training}
        cells = [_accuracy(rows_of_splits.get(split)) for split in by_split]
        name = run.short_names[student] if student != last else ""
        last = student
        table.add_row(Text(name), Text(labels.method(method, degree, short=True)), *cells)
    return table


def _add_guesses(table: Table, guesses: Sequence[Guess | None]) -> None:
    """Add what guessing gives on each split, if there are options to guess among."""
    known = [guess for guess in guesses if guess]
    if known and len(known) == len(guesses):
        table.add_row("random guess", "", *(_per_cent(guess.chance) for guess in known))
    answers = {guess.answer for guess in known if guess.majority is not None}
    if len(answers) == 1:
        cells = []
        for guess in guesses:
            majority = guess.majority if guess else None
            cells.append("" if majority is None else _per_cent(majority))
        table.add_row(Text(f"always “{answers.pop()}”"), "", *cells)


def _print_epochs(run: RunReport, console: Console) -> None:
    """Print the three ways of choosing an epoch side by side if they are known, and why the others are not."""
    ways = []
    for way in epochs.WAYS:
        if any(row.choices[way].accuracy is not None for row in run.by_epoch):
            ways.append(way)
    if len(ways) > 1:
        about = "right test answers by the epoch's choice"
        if "best_on_test" in ways:
            about += "; the best on test is comparable with the paper, and optimistic"
        _print_title(console, "Epochs", about)
        table = _table("Task", "Student", "Trained on", *(labels.EPOCHS[way][1].capitalize() for way in ways))
        for row in epochs.over_seeds(run.by_epoch):
            training = labels.method(row.method, row.degree, short=True)
            accuracies = [formatting.percent(row.accuracies[way]) for way in ways]
            table.add_row(Text(labels.task(row.task)), Text(run.short_names[row.student]), Text(training), *accuracies)
        _print_table(console, table)
    for way, reasons in epochs.missing(run.by_epoch).items():
        console.print(Text(f"Not measured: {labels.EPOCHS[way][0]}, as {'; '.join(reasons)}", style="dim"))


def _cascade(curves: Sequence[Curve], run: RunReport) -> Table:
    """Make one line per curve: the student alone, the teacher alone, and both at the chosen threshold."""
    table = _table("Student", "Trained on", "Sure by", "Student", "Teacher", "Together", "Passed on")
    for curve in curves:
        training = labels.method(curve.method, curve.degree, short=True)
        fractions: list[float | None] = [curve.student_alone, curve.teacher_alone, None, None]
        if curve.chosen:
            fractions[2:] = [curve.chosen.accuracy, curve.chosen.teacher_fraction]
        names = (run.short_names[curve.student], training, labels.confidence(curve.confidence))
        table.add_row(*map(Text, names), *map(formatting.percent, fractions))
    return table


def _print_problems(run: RunReport, console: Console) -> None:
    if run.generated:
        names = ", ".join(labels.task(task) for task in run.generated)
        console.print(f"The published questions of {names} could not be had; these are generated ones.")
    errors = [error for error in run["students"]["error"].to_pylist() if error]
    for error, count in Counter(errors).items():
        console.print(Text(f"{count} of {run['students'].num_rows} trials failed: {error}", style="red"))

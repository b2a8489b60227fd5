"""How the page begins: title, what came out in a sentence per task, what went wrong, and the tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from raydistill.method.methods import METHODS, UNTRAINED
from raydistill.report import labels, records
from raydistill.report.accuracy import StudentAccuracy, best_informed, of_training
from raydistill.report.run import RunReport
from raydistill.report.teacher_accuracy import TeacherAccuracy
from raydistill.runtime import formatting

SENTENCES = 3  # at most, one for each task


class Tile(NamedTuple):
    """A figure in large type."""

    name: str
    value: str
    note: str


class Header(NamedTuple):
    """What page.html shows above the sections."""

    title: str
    sentences: Sequence[str]
    notices: Sequence[str]
    tiles: Sequence[Tile]


def build(run: RunReport) -> Header:
    """Make the beginning of the page."""
    tasks = records.unique(row.task for row in run.evaluated)
    return Header(
        title=_title(run),
        sentences=[_sentence(run, task) for task in tasks[:SENTENCES]],
        notices=_notices(run),
        tiles=_tiles(run),
    )


def _title(run: RunReport) -> str:
    names = list(run.short_names.values())
    students = f"{len(names)} students"
    if not names:
        students = "the students"
    elif len(names) == 1:
        students = names[0]
    teacher = labels.teacher(run.settings) if run.asks_teacher else "right answers alone"
    return f"What {students} learned from {teacher}"


def _notices(run: RunReport) -> list[str]:
    """Say what went wrong, and what a reader must know of the figures."""
    notices = []
    trials = run["students"]
    errors = [error.rstrip(".") for error in trials["error"].to_pylist() if error]
    for error, count in Counter(errors).items():
        notices.append(
            f"{count} of {trials.num_rows} trials failed: {error}. Run the same command again to try them once more."
        )
    requests = run["zero_shot"]["error"].to_pylist() + run["few_shot"]["error"].to_pylist()
    failed = [error for error in requests if error]
    if failed:
        notices.append(
            f"{len(failed):,} of {len(requests):,} teacher answers failed and are excluded from the results. "
            "Run the same command again to try them once more."
        )
    if run.generated:
        names = ", ".join(labels.task(task) for task in run.generated)
        notices.append(
            f"The published questions of {names} could not be had: these are generated ones (questions.source: auto)."
        )
    if run.settings.students.checkpoint_selection == "best_on_test":
        notices.append("Epochs were chosen on the test questions: comparable with the paper, and optimistic.")
    return notices


def _sentence(run: RunReport, task: str) -> str:
    """Describe the first student's best-informed training on `task`, split by split, against the baselines."""
    of_task = [row for row in run.evaluated if row.task == task]
    rows = [row for row in of_task if row.student == of_task[0].student]
    best = best_informed(rows)
    clauses: list[str] = []
    for row in of_training(rows, best):
        name = labels.split(row.split)
        if not clauses:
            name = f"{labels.task(task)} {name}"
        clause = f"{formatting.percent(row.accuracy)} of the {name}"
        baselines = _baselines([other for other in rows if other.split == row.split], best.method)
        if baselines:
            clause += f", against {' and '.join(baselines)}"
        clauses.append(clause)
    start = "Untrained"
    if best.method not in UNTRAINED:
        start = f"Trained on {labels.method(best.method, best.degree, short=True)}"
    return f"{start}, {run.short_names[best.student]} answers {'; '.join(clauses)}."


def _baselines(rows: Sequence[StudentAccuracy], best: str) -> list[str]:
    """Return the accuracies of the methods without any reasoning, in words."""
    texts = []
    for row in rows:
        method = METHODS.get(row.method)
        if method is None or row.method == best or method.asks_teacher or method.answer_call != "never":
            continue
        name = f"with {method.short_label}" if method.is_trained else method.short_label
        texts.append(f"{formatting.percent(row.accuracy)} {name}")
    return texts


def _tiles(run: RunReport) -> list[Tile]:
    tiles = []
    greedy = [row for row in run.teacher_overall if row.degree == 1]
    if greedy:
        tiles.append(_teacher_tile(greedy))
    curated = [row for row in run.curated if row.answers]
    if curated:
        best = best_informed(curated)
        rows = of_training(curated, best)
        kept = sum(row.kept for row in rows)
        requested = sum(row.answers.requested for row in rows if row.answers)
        note = "answers to the train questions, kept to train on"
        tiles.append(Tile("Rationales kept", f"{kept:,} of {requested:,}", note))
    for split in labels.SPLITS:
        of_split = [row for row in run.evaluated if row.split == split]
        if of_split:
            tiles.append(_student_tile(split, of_split))
    if run.spent:
        note = f"{run.spent.calls:,} calls, {run.spent.tokens:,} tokens"
        tiles.append(Tile("Spend", run.cost(run.spent.usd), note))
    return tiles


def _teacher_tile(rows: Sequence[TeacherAccuracy]) -> Tile:
    """Show the plainest and the best-informed way to prompt, on the tasks that both have."""
    by_method: dict[str, dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: labels.method_order(row.method)):
        if row.accuracy is not None:
            by_method.setdefault(row.method, {})[row.task] = row.accuracy
    methods = list(by_method)
    first = methods[0]
    ends = records.unique([first, methods[-1]])
    tasks = set(by_method[ends[0]]) & set(by_method[ends[-1]])
    if not tasks:
        tasks = set(by_method[first])
        ends = [first]
    values = []
    for method in ends:
        mean = fmean(by_method[method][task] for task in tasks)
        values.append(f"{100 * mean:.1f}")
    note = " → ".join(labels.teacher_method(method) for method in ends)
    if len(tasks) > 1:
        note += f", mean of {len(tasks)} tasks"
    return Tile("Teacher right", f"{' → '.join(values)} %", note)


def _student_tile(split: str, rows: Sequence[StudentAccuracy]) -> Tile:
    """Show the best-informed training, a mean over students and tasks."""
    best = best_informed(rows)
    accuracies = [row.accuracy for row in of_training(rows, best) if row.accuracy is not None]
    note = labels.method(best.method, best.degree, short=True)
    if len(accuracies) > 1:
        note += f", mean of {len(accuracies)} students and tasks"
    return Tile(f"Student right, {labels.split(split)}", formatting.percent(fmean(accuracies)), note)

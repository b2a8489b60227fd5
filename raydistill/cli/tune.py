"""`raydistill tune`: search hyper-parameters for the students of a run, on its own training texts.

Grid, random or Optuna, with ASHA. Trials are compared on a validation part of the train questions, never on test
questions. A search that was killed continues where it was. It ends with the best settings as YAML.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from raydistill.cli.arguments import SettingsParser
from raydistill.config import Settings
from raydistill.runtime.formatting import percent

DEFAULT_VALIDATION_FRACTION = 0.2
GROUP = ("task", "student", "method", "degree")


def main(argv: list[str]) -> None:
    """Search, and print one table of trials for each student with the best settings under it."""
    parser = SettingsParser("raydistill tune", "Search hyper-parameters for the students of a finished run.")
    settings, _ = parser.parse(argv)
    from raydistill.runtime import cluster
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.students import search

    settings = _choose_by_validation(settings)
    store = Store(settings.run_path)
    questions = store.read("questions")
    training = store.read("training")
    if not settings.local:
        cluster.connect(**settings.ray.model_dump())
    trials = search.search(questions, training, settings, store, Progress())
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for group in _groups(trials):
        _show(console, group, search.METRIC)
        _show_best(console, group[0], settings.students.num_train_epochs)


def _choose_by_validation(settings: Settings) -> Settings:
    students = settings.students
    validation = {
        "checkpoint_selection": "validation",
        "validation_fraction": students.validation_fraction or DEFAULT_VALIDATION_FRACTION,
    }
    return settings.model_copy(update={"students": students.model_copy(update=validation)})


def _groups(trials: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split the trials by task, student, method and degree; their order, best first, is kept."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for trial in trials:
        key = tuple(trial[name] for name in GROUP)
        groups.setdefault(key, []).append(trial)
    return list(groups.values())


def _show(console: Console, trials: list[dict[str, Any]], metric: str) -> None:
    title = " · ".join(str(trials[0][name]) for name in GROUP)
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("learning_rate", "batch_size", "validation", "loss", "epoch"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for trial in trials:
        accuracy = trial[metric]
        loss = trial["validation_loss"]
        table.add_row(
            _text(trial["learning_rate"]),
            _text(trial["batch_size"]),
            "" if accuracy is None else percent(accuracy),
            "" if loss is None else f"{loss:.3f}",
            str(trial["epoch"] or ""),
            _outcome(trial),
        )
    console.print(table)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _outcome(trial: dict[str, Any]) -> str:
    if trial["error"]:
        return str(trial["error"]).split("\n")[0]
    return "stopped early" if trial["stopped"] else ""


def _show_best(console: Console, best: dict[str, Any], num_train_epochs: int) -> None:
    if best["learning_rate"] is None or best["error"]:
        return
    console.print(
        "students:\n"
        f"  learning_rate: {best['learning_rate']}\n"
        f"  per_device_train_batch_size: {best['batch_size']}\n"
        f"  num_train_epochs: {best['epoch'] or num_train_epochs}\n"
    )

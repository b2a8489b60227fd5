"""`raydistill tune`: search hyper-parameters for the students of a run, on its own training texts.

Grid, random or Optuna, with ASHA. Trials are compared on a validation part of the train questions, never on test
questions. A search that was killed continues where it was. It ends with the best settings as YAML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from raydistill.cli.arguments import SettingsParser
from raydistill.config import Settings
from raydistill.runtime.formatting import percent

if TYPE_CHECKING:
    from raydistill.students.search import SearchRow

DEFAULT_VALIDATION_FRACTION = 0.2


def main(argv: list[str]) -> None:
    """Search, and print one table of trials for each student with the best settings under it."""
    parser = SettingsParser("raydistill tune", "Search hyper-parameters for the students of a finished run.")
    settings, _ = parser.parse(argv)
    from raydistill.runtime import ray_connection, run_lock
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.students import search

    settings = _choose_by_validation(settings)
    store = Store(settings.run_path)
    with run_lock.hold(store, "raydistill tune"):
        questions = store.read("questions")
        training = store.read("training")
        if not settings.local:
            ray_connection.connect(**settings.ray.model_dump())
        trials = search.search(questions, training, settings, store, Progress())
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for group in _groups(trials):
        _show(console, group)
        _show_best(console, group[0], settings.students.num_train_epochs)


def _choose_by_validation(settings: Settings) -> Settings:
    students = settings.students
    validation = {
        "checkpoint_selection": "validation",
        "validation_fraction": students.validation_fraction or DEFAULT_VALIDATION_FRACTION,
    }
    return settings.model_copy(update={"students": students.model_copy(update=validation)})


def _groups(trials: list[SearchRow]) -> list[list[SearchRow]]:
    """Split the trials by task, student, method and degree; their order, best first, is kept."""
    groups: dict[tuple[str, str, str, int], list[SearchRow]] = {}
    for trial in trials:
        groups.setdefault((trial.task, trial.student, trial.method, trial.degree), []).append(trial)
    return list(groups.values())


def _show(console: Console, trials: list[SearchRow]) -> None:
    first = trials[0]
    table = Table(
        title=f"{first.task} · {first.student} · {first.method} · {first.degree}", title_justify="left", box=None
    )
    for heading in ("learning_rate", "per_device_train_batch_size", "validation", "loss", "epoch"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for trial in trials:
        table.add_row(
            _text(trial.learning_rate),
            _text(trial.per_device_train_batch_size),
            "" if trial.validation_accuracy is None else percent(trial.validation_accuracy),
            "" if trial.validation_loss is None else f"{trial.validation_loss:.3f}",
            str(trial.epoch or ""),
            _outcome(trial),
        )
    console.print(table)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _outcome(trial: SearchRow) -> str:
    if trial.error:
        return trial.error.split("\n")[0]
    return "stopped early" if trial.stopped else ""


def _show_best(console: Console, best: SearchRow, num_train_epochs: int) -> None:
    if best.learning_rate is None or best.error:
        return
    console.print(
        "students:\n"
        f"  learning_rate: {best.learning_rate}\n"
        f"  per_device_train_batch_size: {best.per_device_train_batch_size}\n"
        f"  num_train_epochs: {best.epoch or num_train_epochs}\n"
    )

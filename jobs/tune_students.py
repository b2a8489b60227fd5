"""Search hyper-parameters for the students of a run, on its own training texts: grid, random or Optuna, with ASHA.

python jobs/tune_students.py my.yaml                                 # after jobs/full_pipeline.py on the same settings
python jobs/tune_students.py my.yaml --search.algorithm random --search.num_samples 20
python jobs/tune_students.py my.yaml --search.learning_rates '[1e-4, 3e-4]' --search.per_device_train_batch_sizes '[8]'

Trials are judged on a validation part of the train questions, never on test questions. A search that was killed goes on
where it was. It ends with the best settings as YAML.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill import cli


def main(argv: list[str]) -> None:
    """Search on the training texts of a finished run, and print the best settings as YAML."""
    settings, _ = cli.parse(argv, "Search hyper-parameters for the students of a finished run.")
    from rich.console import Console
    from rich.table import Table

    from raydistill.runtime import cluster
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.students import search

    students = settings.students
    chosen = {"checkpoint_selection": "validation", "validation_fraction": students.validation_fraction or 0.2}
    settings = settings.model_copy(update={"students": students.model_copy(update=chosen)})
    store = Store(settings.run_path)
    questions, training = store.read("questions"), store.read("training")
    if not settings.local:
        cluster.connect(**settings.ray.model_dump())
    found = search.search(questions, training, settings, store, Progress())

    console = Console(highlight=False, markup=False, soft_wrap=True)
    names = ("task", "student", "method", "degree")
    for key in dict.fromkeys(tuple(getattr(r, n) for n in names) for r in found):
        rows = [r for r in found if tuple(getattr(r, n) for n in names) == key]
        table = Table(title=" · ".join(map(str, key)), title_justify="left", box=None)
        for heading in ("learning_rate", "per_device_train_batch_size", "validation", "loss", "epoch", ""):
            table.add_column(heading, justify="right" if heading else "left")
        for row in rows:
            accuracy, loss = row.validation_accuracy, row.validation_loss
            table.add_row(
                "" if row.learning_rate is None else str(row.learning_rate),
                "" if row.per_device_train_batch_size is None else str(row.per_device_train_batch_size),
                f"{accuracy:.1%}" if accuracy is not None else "",
                f"{loss:.3f}" if loss is not None else "",
                str(row.epoch or ""),
                row.error.split("\n")[0] or ("stopped early" if row.stopped else ""),
            )
        console.print(table)
        best = rows[0]
        if best.learning_rate is not None and not best.error:
            console.print(
                f"students:\n  learning_rate: {best.learning_rate}\n"
                f"  per_device_train_batch_size: {best.per_device_train_batch_size}\n"
                f"  num_train_epochs: {best.epoch or students.num_train_epochs}\n"
            )


if __name__ == "__main__":
    cli.run(main)

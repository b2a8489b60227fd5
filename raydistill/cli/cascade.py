"""`raydistill cascade`: student and teacher together.

How many questions must go to the teacher for how much accuracy? The threshold is chosen on questions kept out of
training; the figures are of test questions. Writes table `cascade`, and the report anew with its curves.
"""

from __future__ import annotations

from raydistill.cli.arguments import SettingsParser


def main(argv: list[str]) -> None:
    """Choose the thresholds of a finished run and write its report anew."""
    parser = SettingsParser("raydistill cascade", "Let students pass uncertain questions on to the teacher.")
    settings, _ = parser.parse(argv)
    import pyarrow as pa

    from raydistill.report import page, terminal
    from raydistill.runtime import ray_connection, run_lock
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.students import cascade, cascade_stage
    from raydistill.tables import SAMPLES

    settings = settings.absolute()
    store = Store(settings.run_path)
    with run_lock.hold(store, "raydistill cascade"):
        questions = store.read("questions")
        training = store.read("training")
        students = store.read("students")
        predictions = store.read("predictions")
        answered = [store.read(name) for name in ("zero_shot", "few_shot") if store.manifest(name) is not None]
        samples = pa.concat_tables([SAMPLES.empty_table(), *answered])
        cascade_stage.check(samples, settings)
        if not settings.local:
            ray_connection.connect(**settings.ray.model_dump())
        thresholds = cascade_stage.run(questions, training, students, predictions, samples, settings, store, Progress())
        store.write("cascade", thresholds, cascade.key(store), goal=cascade.goal(settings.cascade))
        page.write(store, settings)
        terminal.show(store, settings)

"""Student and teacher together: how many questions must go to the teacher for how much accuracy.

python jobs/cascade.py my.yaml                           # after jobs/full_pipeline.py with students.validation_fraction
python jobs/cascade.py my.yaml --cascade.accuracy 0.95   # as few teacher calls as reach 95 %
python jobs/cascade.py my.yaml --cascade.votes 8         # also by the agreement of 8 sampled answers

The threshold is chosen on questions kept out of training; the figures are of test questions. Writes table `cascade`,
and the report anew with its curves.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill import cli


def main(argv: list[str]) -> None:
    """Make the curves of a finished run, and write the report anew."""
    settings, _ = cli.parse(argv, "Let students pass what they are unsure of on to the teacher.")
    import pyarrow as pa

    from raydistill.report import page, terminal
    from raydistill.runtime import cluster
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.students import cascade, cascade_stage
    from raydistill.tables import SAMPLES

    settings = settings.absolute()
    store = Store(settings.run_path)
    read = [store.read(name) for name in ("questions", "training", "students", "predictions")]
    asked = [store.read(name) for name in ("zero_shot", "few_shot") if store.manifest(name) is not None]
    cascade_stage.check(samples := pa.concat_tables([SAMPLES.empty_table(), *asked]), settings)
    if not settings.local:
        cluster.connect(**settings.ray.model_dump())
    found = cascade_stage.run(*read, samples, settings, store, Progress())
    store.write("cascade", found, cascade.key(store), goal=cascade.goal(settings.cascade))
    page.write(store, settings)
    terminal.show(store, settings)


if __name__ == "__main__":
    cli.run(main)

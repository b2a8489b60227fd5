"""Student and teacher together: how many questions must go to the teacher for how much accuracy.

python jobs/cascade.py my.yaml                            # after jobs/full_pipeline.py with students.validation_share
python jobs/cascade.py my.yaml --cascade.accuracy 0.95    # as few teacher calls as reach 95 %
python jobs/cascade.py my.yaml --cascade.votes 8          # also by the agreement of 8 sampled answers

The threshold is chosen on questions kept out of training; the figures are of test questions. Writes table `cascade`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill import cli


def main(argv: list[str]) -> None:
    settings, _ = cli.parse(argv, "Let students pass what they are unsure of on to the teacher.")
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table

    from raydistill import cluster
    from raydistill.progress import Progress
    from raydistill.store import Store, fingerprint
    from raydistill.students import consult

    store = Store(settings.run_path)
    names = ("questions", "training", "students", "predictions")
    read = [store.read(name) for name in names]
    samples = pa.concat_tables([store.read(n) for n in ("zero_shot", "few_shot") if store.manifest(n) is not None])
    if not settings.local:
        cluster.connect(settings.ray)
    found = consult.consult(*read, samples, settings, store, Progress())
    store.write("cascade", found, fingerprint("cascade", settings.cascade.model_dump()))

    table = Table(box=None)
    for heading in ("task", "student", "method", "by", "split", "student alone", "teacher alone", "together", "asked"):
        table.add_column(heading, justify="right" if heading[-5:] in ("alone", "ether", "asked") else "left")
    rows = found.to_pylist()
    for chosen in (r for r in rows if r["chosen"] and r["split"] != "validation"):
        same = ("trial", "confidence", "split")
        curve = [r for r in rows if not r["chosen"] and all(r[n] == chosen[n] for n in same)]
        ends = [min(curve, key=lambda r: r["teacher_share"]), max(curve, key=lambda r: r["teacher_share"]), chosen]
        table.add_row(
            *(chosen[n] for n in ("task", "student", "method", "confidence", "split")),
            *(f"{r['accuracy']:.1%}" for r in ends),
            f"{chosen['teacher_share']:.0%}",
        )
    Console(highlight=False, soft_wrap=True).print(table)


if __name__ == "__main__":
    cli.run(main)

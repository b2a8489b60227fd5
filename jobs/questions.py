"""The questions: what there is, what they look like, what to beware of, and whether they are the published ones.

python jobs/questions.py                              # the eight benchmarks: counts, splits, leakage, hazards
python jobs/questions.py --task coin_flip             # one of them, with examples
python jobs/questions.py my.yaml --examples 2         # the questions of a run's settings (your own file, say)
python jobs/questions.py --check                      # compare with the published hashes, counts and splits
python jobs/questions.py --export data/questions      # one Parquet file per task
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from raydistill import cli, tasks
from raydistill.config import QuestionSettings
from raydistill.runtime.errors import QuestionsError
from raydistill.tasks import benchmark_checks, published

console = Console(highlight=False, markup=False, soft_wrap=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--task", help="only this task", metavar="NAME")
    parser.add_argument("--examples", type=int, metavar="N", help="print N questions of each split (3 with --task)")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write each task to DIR/NAME.parquet")
    parser.add_argument("--check", action="store_true", help="compare with the published files; exit 1 on a difference")
    options, settings = parser.parse_known_args(argv)
    if options.check:
        verify()
        return
    questions = load(settings, options.task)
    show(questions)
    examples = options.examples if options.examples is not None else 3 if options.task else 0
    show_examples(questions, examples)
    if options.export:
        export(questions, options.export)


def load(settings: list[str], task: str | None) -> pa.Table:
    """The questions of a run's settings (a YAML file and overrides), or the published benchmarks that can be had."""
    if settings:
        run = cli.parse(settings, "")[0]
        questions = tasks.load_questions(run.questions, run.seed)
        known = questions["task"].unique().to_pylist()
    else:
        known = list(published.BENCHMARKS)
    if task and task not in known:
        raise QuestionsError(f"There is no task {task} (--task).", f"Known: {', '.join(known)}.")
    if settings:
        return questions.filter(pc.field("task") == task) if task else questions
    found = []
    for name in [task] if task else known:
        try:
            wanted = QuestionSettings.model_validate({"tasks": [name], "source": "published"})
            found.append(tasks.load_questions(wanted, seed=0))
        except QuestionsError as error:
            if task:
                raise
            console.print(f"{name}: {error.message}")
    if not found:
        raise QuestionsError(
            "None of the benchmark files can be had.",
            "Set RAYDISTILL_DATA_DIR to a folder with copies, or look at generated questions: "
            "python jobs/questions.py configs/quickstart.yaml",
        )
    return pa.concat_tables(found)


def show(questions: pa.Table) -> None:
    counts = Table("task", "answers", "train", "test", "test_unseen", title="Questions", title_justify="left")
    for column in counts.columns[2:]:
        column.justify = "right"
    names = questions["task"].unique().to_pylist()
    for name in names:
        rows = questions.filter(pc.field("task") == name)
        splits = [str(pc.sum(pc.equal(rows["split"], split))) for split in ("train", "test", "test_unseen")]
        counts.add_row(name, rows["answer_type"][0].as_py(), *splits)
    console.print(counts)
    heads = ["task", "split", "questions", "same", "digits", "names", "story", "elsewhere"]
    overlap = Table(*heads, title="Test questions that a train question gives away", title_justify="left")
    for column in overlap.columns[2:]:
        column.justify = "right"
    for row in tasks.leakage(questions).to_pylist():
        overlap.add_row(*map(str, row.values()))
    console.print(overlap)
    console.print(
        "same: word for word · digits: but for the digits · names: but for digits and names · "
        "story: all but the last sentence · elsewhere: in another task's train"
    )
    for name in names:
        if name in published.BENCHMARKS:
            console.print(f"{name}, published file: {published.BENCHMARKS[name].hazards}")


def show_examples(questions: pa.Table, n: int) -> None:
    shown: dict[tuple[str, str], int] = {}
    for row in questions.to_pylist():
        part = row["task"], row["split"]
        shown[part] = shown.get(part, 0) + 1
        if shown[part] <= n:
            console.print(f"\n[{row['task']} {row['split']}, row {row['source_row']}, {row['question_id']}]")
            console.print(f"{row['question']}\n→ {row['answer']}")


def export(questions: pa.Table, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in questions["task"].unique().to_pylist():
            path = folder / f"{name}.parquet"
            pq.write_table(questions.filter(pc.field("task") == name), path)
            console.print(f"wrote {path}")
    except OSError as error:
        raise QuestionsError(f"Cannot write to {folder} (--export): {error}") from None


def verify() -> None:
    failed = 0
    for found in benchmark_checks.checks():
        failed += not found.ok
        text = found.actual if found.ok else f"{found.actual}, expected {found.expected}"
        console.print(f"{'ok  ' if found.ok else 'FAIL'} {found.task:<26} {found.what:<20} {text}")
    console.print("All eight benchmarks are as published." if not failed else f"{failed} checks failed.")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)

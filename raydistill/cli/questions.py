"""`raydistill questions`: what there is, what it looks like, what to beware of, whether it is the published data."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from raydistill import tasks
from raydistill.cli.arguments import SettingsParser
from raydistill.config import QuestionSettings, Settings
from raydistill.runtime.errors import QuestionsError
from raydistill.tasks import benchmark_checks, published

DESCRIPTION = (
    "The questions of the eight benchmarks, or of a run's settings if any are given: counts, splits, overlap of test "
    "with train, hazards."
)
EXAMPLES_OF_ONE_TASK = 3
SPLITS = ("train", "test", "test_unseen")
OVERLAP_COLUMNS = ("task", "split", "questions", "same", "digits", "names", "story", "elsewhere")
OVERLAP_LEGEND = (
    "same: word for word · digits: but for the digits · names: but for digits and names · "
    "story: all but the last sentence · elsewhere: in another task's train"
)

console = Console(highlight=False, markup=False, soft_wrap=True)


def main(argv: list[str]) -> None:
    """Print what the options ask for."""
    parser = SettingsParser("raydistill questions", DESCRIPTION)
    parser.add_option("--task", help="only this task", metavar="NAME")
    parser.add_option("--examples", type=int, metavar="N", help="print N questions of each split (3 with --task)")
    parser.add_option("--export", type=Path, metavar="DIR", help="write each task to DIR/NAME.parquet")
    parser.add_option("--check", action="store_true", help="compare with the published files; exit 1 on a difference")
    settings, options = parser.parse(argv)
    if options.check:
        _verify()
        return
    if options.has_settings:
        questions = _of_run(settings, options.task)
    else:
        questions = _of_benchmarks(options.task)
    _show_counts(questions)
    _show_overlap(questions)
    _show_hazards(questions)
    examples = options.examples
    if examples is None:
        examples = EXAMPLES_OF_ONE_TASK if options.task else 0
    _show_examples(questions, examples)
    if options.export:
        _export(questions, options.export)


def _of_run(settings: Settings, task: str | None) -> pa.Table:
    """Return the questions that a run with these settings works on."""
    questions = tasks.load_questions(settings.questions, settings.seed)
    if not task:
        return questions
    _check_name(task, questions["task"].unique().to_pylist())
    return questions.filter(pc.field("task") == task)


def _of_benchmarks(task: str | None) -> pa.Table:
    """Return the published benchmarks that are at hand, or the one that is named."""
    if task:
        _check_name(task, list(published.BENCHMARKS))
        return _benchmark(task)
    tables = []
    for name in published.BENCHMARKS:
        try:
            tables.append(_benchmark(name))
        except QuestionsError as error:
            console.print(f"{name}: {error.message}")
    if not tables:
        raise QuestionsError(
            "None of the benchmark files is available.",
            "Set RAYDISTILL_DATA_DIR to a folder with copies, or look at generated questions: "
            "raydistill questions quickstart",
        )
    return pa.concat_tables(tables)


def _benchmark(name: str) -> pa.Table:
    settings = QuestionSettings.model_validate({"tasks": [name], "source": "published"})
    return tasks.load_questions(settings, seed=0)


def _check_name(task: str, names: list[str]) -> None:
    if task not in names:
        raise QuestionsError(f"There is no task {task} (--task).", f"Choose one of: {', '.join(names)}.")


def _table(title: str, columns: tuple[str, ...]) -> Table:
    """Return an empty table whose first two columns hold text and the others figures."""
    table = Table(*columns, title=title, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    return table


def _show_counts(questions: pa.Table) -> None:
    table = _table("Questions", ("task", "answers", *SPLITS))
    for name in questions["task"].unique().to_pylist():
        rows = questions.filter(pc.field("task") == name)
        counts = Counter(rows["split"].to_pylist())
        answer_type = rows["answer_type"][0].as_py()
        table.add_row(name, answer_type, *(str(counts[split]) for split in SPLITS))
    console.print(table)


def _show_overlap(questions: pa.Table) -> None:
    table = _table("Test questions that a train question gives away", OVERLAP_COLUMNS)
    for row in tasks.leakage(questions).to_pylist():
        table.add_row(*map(str, row.values()))
    console.print(table)
    console.print(OVERLAP_LEGEND)


def _show_hazards(questions: pa.Table) -> None:
    for name in questions["task"].unique().to_pylist():
        if name in published.BENCHMARKS:
            console.print(f"{name}, published file: {published.BENCHMARKS[name].hazards}")


def _show_examples(questions: pa.Table, count: int) -> None:
    """Print the first `count` questions of each task and split."""
    printed: Counter[tuple[str, str]] = Counter()
    for row in questions.to_pylist():
        part = (row["task"], row["split"])
        printed[part] += 1
        if printed[part] <= count:
            console.print(f"\n[{row['task']} {row['split']}, row {row['source_row']}, {row['question_id']}]")
            console.print(f"{row['question']}\n→ {row['answer']}")


def _export(questions: pa.Table, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in questions["task"].unique().to_pylist():
            path = folder / f"{name}.parquet"
            pq.write_table(questions.filter(pc.field("task") == name), path)
            console.print(f"wrote {path}")
    except OSError as error:
        raise QuestionsError(f"Cannot write to {folder} (--export): {error}") from None


def _verify() -> None:
    """Compare the benchmarks with the published hashes, counts and splits; exit with 1 on a difference."""
    failed = 0
    for result in benchmark_checks.checks():
        line = f"{result.task:<26} {result.what:<20} {result.actual}"
        if result.ok:
            console.print(f"ok   {line}")
        else:
            console.print(f"FAIL {line}, expected {result.expected}")
            failed += 1
    if failed:
        console.print(f"{failed} checks failed.")
        sys.exit(1)
    console.print("All eight benchmarks are as published.")

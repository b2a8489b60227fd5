"""The page docs/reference/tables.md: every Arrow schema with the comments beside its columns."""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from raydistill import tables

TABLES_INTRO = """\
# Tables

A run directory holds each table as Parquet: `tables/<name>/part-0.parquet`, and `tables/<name>.json` beside it with
the fingerprint, the number of rows, the content hash and the versions. Read one with
`pyarrow.parquet.read_table("runs/mine/tables/results")`, pandas, polars or DuckDB.

Text columns hold "" rather than null unless the column says otherwise.
"""

NOT_STORED = {"PROMPTS", "JUDGE_PROMPTS"}
"""Schemas of what the teacher is asked, laid out before a stage and kept nowhere."""


class TableUse(NamedTuple):
    """Where a schema of `raydistill/tables.py` is used."""

    schema: str
    stored_as: str
    """Names of the stored tables, as Markdown."""
    meaning: str


TABLE_USES = (
    TableUse("QUESTIONS", "`questions`", "One row per question, of every task and split."),
    TableUse(
        "SAMPLES",
        "`zero_shot`, `few_shot`",
        "One row per sample of the teacher. A question that failed keeps its row, with `error`.",
    ),
    TableUse("EXEMPLARS", "`exemplars`", "One row per exemplar, in the order of the prompt."),
    TableUse(
        "PASSED_OVER", "in column `passed_over` of `exemplars`", "One entry per nearer candidate that was not chosen."
    ),
    TableUse("CLUSTERS", "`clusters`", "One row per question of the exemplar pool."),
    TableUse("EMBEDDINGS", "in the user's cache", "One row per question; shared by all runs of a user."),
    TableUse("JUDGEMENTS", "`judgements`", "One row per rationale that the teacher judged (`curation.llm_judge`)."),
    TableUse("TRAINING", "`training`", "One row per candidate for training text; students see the rows with `kept`."),
    TableUse("STUDENTS", "`students`", "One row per trial: student, task, method, degree and seed."),
    TableUse("EPOCH", "in column `epochs` of `students`", "One entry per epoch of a training."),
    TableUse("PREDICTIONS", "`predictions`", "One row per answer of a student to a test question."),
    TableUse("RESULTS", "`results`", "One row per trial and test split."),
    TableUse("CASCADE", "`cascade`", "One row per threshold, made by `raydistill cascade`."),
    TableUse("LEDGER", "`ledger`", "One row per stage, task and kind of call."),
)


def tables_page() -> str:
    """Return the page of all tables, with the comments beside their columns."""
    comments = schema_comments(Path(tables.__file__))
    schemas = {name for name, value in vars(tables).items() if isinstance(value, pa.Schema | pa.StructType)}
    undescribed = schemas - NOT_STORED - {use.schema for use in TABLE_USES}
    if undescribed:
        sys.exit(f"Describe {', '.join(sorted(undescribed))} in TABLE_USES of docs/reference_tables.py.")
    parts = [TABLES_INTRO]
    for use in TABLE_USES:
        parts.append(f"## {use.schema}\n\nStored as: {use.stored_as}. {use.meaning}\n")
        parts.append("| column | type | meaning |\n|---|---|---|")
        for column in fields(getattr(tables, use.schema)):
            meaning = comments.get((use.schema, column.name), "").replace("|", "\\|")
            parts.append(f"| `{column.name}` | {type_name(column.type)} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def fields(schema: pa.Schema | pa.StructType) -> list[pa.Field]:
    """Return the columns of a schema or the fields of a struct."""
    if isinstance(schema, pa.StructType):
        return [schema.field(i) for i in range(schema.num_fields)]
    return list(schema)


def type_name(kind: pa.DataType) -> str:
    """Return an Arrow type for a table cell; a list's and a struct's contents are summed up."""
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "struct"
    return str(kind)


def schema_comments(source: Path) -> dict[tuple[str, str], str]:
    """Return the comment of each column by (schema, column): beside it, or in lines of its own above it."""
    comments, own_lines = comment_lines(source)
    meanings = {}
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        for column in columns(statement.value):
            name = column.elts[0]
            assert isinstance(name, ast.Constant)
            first = column.lineno
            while first - 1 in own_lines:
                first -= 1
            lines = range(first, (column.end_lineno or column.lineno) + 1)
            words = [comments[line] for line in lines if line in comments]
            meanings[statement.targets[0].id, str(name.value)] = " ".join(words)
    return meanings


def comment_lines(source: Path) -> tuple[dict[int, str], set[int]]:
    """Return the comments of a file by line, and the lines that hold nothing else."""
    comments: dict[int, str] = {}
    own_lines = set()
    with source.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            if token.type == tokenize.COMMENT:
                line = token.start[0]
                comments[line] = token.string.lstrip("# ")
                if token.line.lstrip().startswith("#"):
                    own_lines.add(line)
    return comments, own_lines


def columns(node: ast.AST) -> Iterator[ast.Tuple]:
    """Yield the (name, type) pairs of `pa.schema([...])` or `pa.struct([...])`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Tuple) and part.elts and isinstance(part.elts[0], ast.Constant):
            yield part

"""Write docs/reference/ from the code: the settings from their fields, the tables from their Arrow schemas.

python docs/generate_reference.py            # write the pages
python docs/generate_reference.py --check    # write nothing; exit 1 if a page is not what would be written
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import tokenize
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from raydistill import tables
from raydistill.config import Settings
from raydistill.config.base import Affects, affected_by

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Made by `python docs/generate_reference.py`. Edit the code that it is made from, not this page. -->"

SETTINGS_INTRO = """\
# Settings

Every setting can stand in a YAML file, nested by section, or on the command line with its dotted name:

```yaml
students:
  num_train_epochs: 5
```

```bash
raydistill run my.yaml --students.num_train_epochs 5
```

The command line wins over the file, the file over the default. A single value may stand for a list of one.

*Changes* says what a new value makes stale. A stage whose settings and inputs are unchanged is not run again, and an
answer of the teacher that the journal holds is not bought again, whatever changed.
"""

SECTION_NOTES = {
    "": "What does not belong to a section. These settings are in no fingerprint.",
    "questions": "They count through the questions that they give: the same questions make nothing stale.",
    "search": "Used by `raydistill tune` alone; the stages of a run do not depend on them.",
    "cascade": "Used by `raydistill cascade` alone; the stages of a run do not depend on them.",
    "ray": "How Ray is found or started; no result depends on them.",
}
"""About the sections whose values are not compared one by one."""

AFFECTS_TEXT = {
    Affects.RESULT: "the stage's result",
    Affects.PREDICTIONS: "the students' answers",
    Affects.GRID: "which students are trained",
}

TABLES_INTRO = """\
# Tables

A run directory holds each table as Parquet: `tables/<name>/part-0.parquet`, and `tables/<name>.json` beside it with
the fingerprint, the number of rows, the content hash and the versions. Read one with
`pyarrow.parquet.read_table("runs/mine/tables/results")`, pandas, polars or DuckDB.

Text columns hold "" rather than null unless the column says otherwise.
"""


class TableUse(NamedTuple):
    """Where a schema of `raydistill/tables.py` is used."""

    schema: str
    stored_as: str
    """Names of the stored tables, as Markdown."""
    meaning: str


TABLE_USES = (
    TableUse("QUESTIONS", "`questions`", "One row a question, of every task and split."),
    TableUse(
        "SAMPLES",
        "`zero_shot`, `few_shot`",
        "One row a sample of the teacher. A question that failed keeps its row, with `error`.",
    ),
    TableUse("EXEMPLARS", "`exemplars`", "One row an exemplar, in the order of the prompt."),
    TableUse(
        "PASSED_OVER", "in column `passed_over` of `exemplars`", "One entry a nearer candidate that was not chosen."
    ),
    TableUse("CLUSTERS", "`clusters`", "One row a question of the exemplar pool."),
    TableUse("EMBEDDINGS", "in the user's cache", "One row a question; shared by all runs of a user."),
    TableUse("JUDGEMENTS", "`judgements`", "One row a rationale that the teacher judged (`curation.llm_judge`)."),
    TableUse("TRAINING", "`training`", "One row a candidate for training text; students see the rows with `kept`."),
    TableUse("STUDENTS", "`students`", "One row a trial: student, task, method, degree and seed."),
    TableUse("EPOCH", "in column `epochs` of `students`", "One entry an epoch of a training."),
    TableUse("PREDICTIONS", "`predictions`", "One row an answer of a student to a test question."),
    TableUse("RESULTS", "`results`", "One row a trial and test split."),
    TableUse("CASCADE", "`cascade`", "One row a threshold, made by `raydistill cascade`."),
    TableUse("LEDGER", "`ledger`", "One row a stage, task and kind of call."),
)


def main() -> None:
    """Write the pages, or compare them with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    check = parser.parse_args().check
    stale = []
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"Not up to date: {', '.join(stale)}. Run: python docs/generate_reference.py", file=sys.stderr)
        sys.exit(1)
    print("\n".join(f"wrote {name}" for name in stale) or "Up to date.")


def pages() -> dict[Path, str]:
    """Return the text of each page by its path."""
    return {REFERENCE / "settings.md": settings_page(), REFERENCE / "tables.md": tables_page()}


def settings_page() -> str:
    """Return the page of all settings, a section of the tree after the other."""
    parts = [NOTE, SETTINGS_INTRO]
    for name, section, description in sections(Settings, ""):
        parts.append(f"## {name or 'run'}\n")
        note = SECTION_NOTES.get(name.split(".")[0])
        for text in (description, note):
            if text:
                parts.append(f"{one_line(text)}\n")
        for field, info in section.model_fields.items():
            if section_of(info) is None:
                dotted = f"{name}.{field}" if name else field
                parts.append(setting(dotted, info, compared=note is None))
    return "\n".join(parts)


def sections(section: type[BaseModel], name: str, description: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield the dotted name, the model and the description of `section` and of the sections in it."""
    yield name, section, description or own_docstring(section)
    for field, info in section.model_fields.items():
        inner = section_of(info)
        if inner is not None:
            dotted = f"{name}.{field}" if name else field
            yield from sections(inner, dotted, info.description or "")


def setting(name: str, info: FieldInfo, *, compared: bool) -> str:
    """Return one setting as Markdown; `compared` if fingerprints may hold its value."""
    facts = [type_text(info), f"default: {default_text(info)}"]
    if compared:
        facts.append(f"changes {affects_text(affected_by(info))}")
    return f"### `{name}`\n\n*{' · '.join(facts)}*\n\n{one_line(info.description or '')}\n"


def affects_text(affects: Affects) -> str:
    """Return what a changed value makes stale, in words."""
    words = [text for flag, text in AFFECTS_TEXT.items() if flag in affects]
    return " and ".join(words) or "nothing"


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """Return the settings model of a field that is a section, else None."""
    for kind in (info.annotation, *typing.get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def own_docstring(section: type[BaseModel]) -> str:
    """Return the first paragraph of the class's own docstring; "" if it has none."""
    text = section.__dict__.get("__doc__") or ""
    return inspect.cleandoc(text).split("\n\n")[0]


def type_text(info: FieldInfo) -> str:
    """Return the type of a field in words, with its bounds."""
    return " ".join([annotation_text(info.annotation), *bounds(info)])


def annotation_text(annotation: object) -> str:
    """Return a type in words: "whole number or none", "list of text", "one of `a`, `b`"."""
    simple: dict[object, str] = {
        int: "whole number",
        float: "number",
        bool: "true or false",
        str: "text",
        type(None): "none",
    }
    if annotation in simple:
        return simple[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments)
    if origin is list:
        return f"list of {annotation_text(arguments[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(annotation_text, arguments))
    if origin is typing.Annotated:
        return annotation_text(arguments[0])
    return getattr(annotation, "__name__", str(annotation))


def bounds(info: FieldInfo) -> list[str]:
    """Return the limits of a number as "≥ 1"."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = []
    for constraint in info.metadata:
        for attribute, sign in signs.items():
            limit = getattr(constraint, attribute, None)
            if limit is not None:
                limits.append(f"{sign} {limit}")
    return [", ".join(limits)] if limits else []


def default_text(info: FieldInfo) -> str:
    """Return the default of a field as it is written in YAML."""
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return "`[" + ", ".join(map(str, default)) + "]`"
    return f"`{default}`"


def one_line(text: str) -> str:
    """Return `text` with single spaces; `<` stays text in Markdown."""
    return re.sub(r"\s+", " ", text).strip().replace("<", "&lt;")


def tables_page() -> str:
    """Return the page of all tables, with the comments beside their columns."""
    comments = schema_comments(Path(tables.__file__))
    schemas = {name for name, value in vars(tables).items() if isinstance(value, pa.Schema | pa.StructType)}
    undescribed = schemas - {use.schema for use in TABLE_USES}
    if undescribed:
        sys.exit(f"Describe {', '.join(sorted(undescribed))} in TABLE_USES of docs/generate_reference.py.")
    parts = [NOTE, TABLES_INTRO]
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
    """Return the comment beside each column by (schema, column), read from the source of the schemas."""
    text = source.read_text(encoding="utf-8")
    comments: dict[int, str] = {}
    with source.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.lstrip("# ")
    beside = {}
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        for column in columns(statement.value):
            name = column.elts[0]
            assert isinstance(name, ast.Constant)
            lines_of_column = range(column.lineno, (column.end_lineno or column.lineno) + 1)
            words = [comments[line] for line in lines_of_column if line in comments]
            beside[statement.targets[0].id, str(name.value)] = " ".join(words)
    return beside


def columns(node: ast.AST) -> Iterator[ast.Tuple]:
    """Yield the (name, type) pairs of `pa.schema([...])` or `pa.struct([...])`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Tuple) and part.elts and isinstance(part.elts[0], ast.Constant):
            yield part


if __name__ == "__main__":
    main()

"""The user's own exemplars, from a file, in place of clustering."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from raydistill.exemplars.conditions import exemplar_rationale, normalised
from raydistill.exemplars.rows import ExemplarRow, exemplar_table
from raydistill.method import answers
from raydistill.runtime.errors import UserError
from raydistill.runtime.store import fingerprint


class ExemplarLine(NamedTuple):
    """A line of an exemplar file."""

    task: str
    question: str
    rationale: str
    answer: str


def read(path: str, questions: pa.Table, methods: Sequence[str]) -> pa.Table:
    """Read EXEMPLARS from a JSONL file of {task, question, rationale, answer}, in its order, the same for each method.

    `cluster` counts the exemplars of a task, `relaxation_level` is 0. An exemplar that is one of the run's questions
    (same text) carries its id, so that leave-one-out knows it. Lines for tasks that the run does not have are left out.

    Raises:
        UserError: the file cannot be read, a line is malformed (named), or a task of the run has no line.
    """
    run_tasks = questions["task"].to_pylist()
    answer_types = dict(zip(run_tasks, questions["answer_type"].to_pylist(), strict=True))
    question_ids = _ids_by_text(questions)
    rows_by_task: dict[str, list[ExemplarRow]] = {task: [] for task in sorted(answer_types)}
    for line in _lines(path):
        if line.task not in rows_by_task:
            continue
        rows = rows_by_task[line.task]
        own_id = fingerprint(line._asdict())[:16]
        question_id = question_ids.get((line.task, normalised(line.question)), own_id)
        rows.append(_row(line, question_id, cluster=len(rows), answer_type=answer_types[line.task]))
    table: list[ExemplarRow] = []
    for task, rows in rows_by_task.items():
        if not rows:
            raise UserError(
                f"{path} (setting exemplars.file) has no exemplar for task {task}.",
                f'Add lines such as {{"task": "{task}", "question": …, "rationale": …, "answer": …}}.',
            )
        for method in methods:
            table += [row._replace(method=method) for row in rows]
    return exemplar_table(table)


def _ids_by_text(questions: pa.Table) -> dict[tuple[str, str], str]:
    """Return the question ids by (task, normalised text)."""
    ids = {}
    for row in questions.select(["task", "question", "question_id"]).to_pylist():
        ids[row["task"], normalised(row["question"])] = row["question_id"]
    return ids


def _row(line: ExemplarLine, question_id: str, *, cluster: int, answer_type: str) -> ExemplarRow:
    """Return a line as an exemplar, but for its method."""
    return ExemplarRow(
        task=line.task,
        method="",
        cluster=cluster,
        cluster_size=0,
        rank=0,
        relaxation_level=0,
        distance=0.0,
        question_id=question_id,
        question=line.question.strip(),
        rationale=exemplar_rationale(line.rationale),
        answer=answers.canonical(line.answer, answer_type),
    )


def _lines(path: str) -> Iterator[ExemplarLine]:
    """Yield the lines of the file that are not blank."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The exemplars of setting exemplars.file cannot be read: {path}: {error}",
            "Give a UTF-8 file with one JSON object per line.",
        ) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse(line, f"{path}, line {number} (setting exemplars.file)")


def _parse(line: str, where: str) -> ExemplarLine:
    hint = f"Each line is a JSON object with the fields {', '.join(ExemplarLine._fields)}."
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: no JSON: {error}", hint) from None
    if not isinstance(fields, dict):
        raise UserError(f"{where}: not an object.", hint)
    answer = fields.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        fields["answer"] = str(answer)
    for name in ExemplarLine._fields:
        value = fields.get(name)
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where}: the field {name!r} is missing or no text.", hint)
    return ExemplarLine(*(fields[name] for name in ExemplarLine._fields))

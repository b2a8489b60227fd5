"""The user's own exemplars, from a file, in place of clustering."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from raydistill.exemplars.conditions import exemplar_rationale, normalised
from raydistill.method import answers
from raydistill.runtime.errors import UserError
from raydistill.runtime.store import fingerprint
from raydistill.tables import EXEMPLARS

FIELDS = ("task", "question", "rationale", "answer")


def read(path: str, questions: pa.Table, methods: Sequence[str]) -> pa.Table:
    """EXEMPLARS from a JSONL file of {task, question, rationale, answer}, in its order, the same for each method.

    `cluster` counts the exemplars of a task, `relaxation_level` is 0. An exemplar that is one of the run's questions (same text)
    carries its id, so that leave-one-out knows it. Lines for tasks that the run does not have are left out.

    Raises:
        UserError: the file cannot be read, a line is malformed (named), or a task of the run has no line.
    """
    tasks = dict(zip(*(questions[c].to_pylist() for c in ("task", "answer_type")), strict=True))
    ids = {
        (task, normalised(question)): id_
        for task, question, id_ in zip(
            *(questions[c].to_pylist() for c in ("task", "question", "question_id")), strict=True
        )
    }
    found: dict[str, list[dict[str, Any]]] = {task: [] for task in sorted(tasks)}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        row = _row(line, f"{path}, line {number}")
        task = row["task"]
        if task not in found:
            continue
        found[task].append(
            {
                "task": task,
                "cluster": len(found[task]),
                "cluster_size": 0,
                "rank": 0,
                "relaxation_level": 0,
                "distance": 0.0,
                "question_id": ids.get((task, normalised(row["question"])), fingerprint(row)[:16]),
                "question": row["question"].strip(),
                "rationale": exemplar_rationale(row["rationale"]),
                "answer": answers.canonical(row["answer"], tasks[task]),
                "passed_over": [],
            }
        )
    for task, rows in found.items():
        if not rows:
            raise UserError(
                f"{path} (setting exemplars.file) has no exemplar for task {task}.",
                f'Add lines such as {{"task": "{task}", "question": …, "rationale": …, "answer": …}}.',
            )
    return pa.Table.from_pylist(
        [row | {"method": m} for rows in found.values() for m in methods for row in rows], EXEMPLARS
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The exemplars of setting exemplars.file cannot be read: {path}: {error}",
            "Give a UTF-8 file with one JSON object per line.",
        ) from None


def _row(line: str, where: str) -> dict[str, str]:
    hint = f"Each line is a JSON object with the fields {', '.join(FIELDS)}."
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where} (setting exemplars.file): no JSON: {error}", hint) from None
    if not isinstance(row, dict):
        raise UserError(f"{where} (setting exemplars.file): not an object.", hint)
    for name in FIELDS:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and name == "answer":
            row[name] = value = str(value)
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where} (setting exemplars.file): the field {name!r} is missing or no text.", hint)
    return row

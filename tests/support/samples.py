"""Questions and teacher samples made up for tests of curation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raydistill.tables import QUESTIONS, SAMPLES

GOOD = "Tom has 3 apples. He gets 2 more, so 3 + 2 = 5."


def table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema)


def questions(*splits: str) -> pa.Table:
    base = {"task": "svamp", "answer": "5.0", "answer_type": "number", "choices": []}
    return table(
        [
            base | {"split": s, "question_id": f"q{i}", "question": f"How many, {i}?", "source_row": i}
            for i, s in enumerate(splits)
        ],
        QUESTIONS,
    )


def samples(*rows: dict[str, Any]) -> pa.Table:
    base = {
        "task": "svamp",
        "split": "train",
        "question_id": "q0",
        "method": "fine_tune_cot",
        "degree": 1,
        "sample_index": 0,
        "rationale": f" {GOOD}",
        "prediction": "5",
        "correct": True,
        "error": "",
        "error_kind": "",
    }
    return table([base | row for row in rows], SAMPLES)


NONE = samples()

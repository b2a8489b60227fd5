"""The published figures that the report shows beside a run's own (paper_tables.json).

Sources: Li et al. 2024, Tables 3-5 (captions of 3 and 4 put right); untrained and answers-alone students from Ho et al.
2023, which the paper leaves out.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def tables() -> dict[str, Any]:
    """The whole file: cite, notes and rows (source, role, model, method, degree, accuracy in per cent by task)."""
    return json.loads(resources.files(__package__).joinpath("paper_tables.json").read_text("utf-8"))


def figures(task: str) -> dict[tuple[str, int, str], float]:
    """Accuracy (0 … 1) on `task` by (method, degree, model); the model of both teachers is "teacher".

    Empty for tasks that the paper does not have.
    """
    return {
        (row["method"], row["degree"], "teacher" if row["role"] == "teacher" else row["model"]): row["accuracy"][task]
        / 100
        for row in tables()["rows"]
        if task in row["accuracy"]
    }

"""The published figures that the report shows beside a run's own (paper_tables.json).

Sources: Li et al. 2024, Tables 3-5 (captions of 3 and 4 put right); untrained and answers-alone students from Ho et al.
2023, which the paper leaves out.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TypedDict


class Cite(TypedDict):
    """The sources of the figures."""

    paper: str
    baseline: str


class PaperRow(TypedDict):
    """The figures of one model and method."""

    source: str
    role: str
    model: str
    method: str
    degree: int
    accuracy: dict[str, float]
    """In per cent, by task."""


class PaperTables(TypedDict):
    """The whole file."""

    cite: Cite
    notes: list[str]
    rows: list[PaperRow]


@cache
def tables() -> PaperTables:
    """Return what paper_tables.json holds."""
    loaded: PaperTables = json.loads(resources.files(__package__).joinpath("paper_tables.json").read_text("utf-8"))
    return loaded


def figures(task: str) -> dict[tuple[str, int, str], float]:
    """Return accuracies (0 … 1) on `task` by (method, degree, model); the model of both teachers is "teacher".

    Empty for tasks that the paper does not have.
    """
    accuracies = {}
    for row in tables()["rows"]:
        if task in row["accuracy"]:
            model = "teacher" if row["role"] == "teacher" else row["model"]
            accuracies[row["method"], row["degree"], model] = row["accuracy"][task] / 100
    return accuracies

"""The published benchmarks' questions and splits, from their files (see `raydistill.method.benchmarks`)."""

from __future__ import annotations

import json

from raydistill.method.benchmarks import BENCHMARKS, split_url
from raydistill.method.questions import Question
from raydistill.tasks import download

__all__ = ["BENCHMARKS", "default_split", "questions", "template_split", "template_tasks"]


def questions(task: str) -> list[Question]:
    """Return all questions of a benchmark in file order.

    Raises:
        QuestionsError: the file cannot be had or is not the published one.
    """
    benchmark = BENCHMARKS[task]
    path = download.published(benchmark.file, benchmark.url, benchmark.sha256)
    return benchmark.read(path.read_text(encoding="utf-8"))


def default_split(task: str) -> list[str]:
    """Return train or test for each row, from the published file of the 70:30 split.

    Raises:
        QuestionsError: the file cannot be had or is not the published one.
    """
    return _split(task, "default", BENCHMARKS[task].split_sha256)


def template_split(task: str) -> list[str]:
    """Return train or test for each row, no question template on both sides.

    Raises:
        QuestionsError: the file cannot be had or is not the published one.
    """
    template = BENCHMARKS[task].template_split
    assert template is not None
    return _split(task, "template", template.sha256)


def template_tasks() -> list[str]:
    """Return the benchmarks that have a template split."""
    return [name for name, benchmark in BENCHMARKS.items() if benchmark.template_split]


def _split(task: str, kind: str, sha256: str) -> list[str]:
    """Read index lists `{"train": […], "test": […]}` as the split of each row."""
    file = f"{task}__{kind}.json"
    path = download.published(f"splits/{file}", split_url(file), sha256)
    lists: dict[str, list[int]] = json.loads(path.read_text(encoding="utf-8"))
    split_of_row: dict[int, str] = {}
    for split, rows in lists.items():
        split_of_row.update(dict.fromkeys(rows, split))
    return [split_of_row[row] for row in range(BENCHMARKS[task].rows)]

"""How different the rationales of one question are (Li et al. 2024 complain that eight samples are nearly one)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, groupby
from statistics import fmean
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tables
from raydistill.curation.candidates import ascending

NEAR = 0.8
"""Similarity from which two rationales count as near-duplicates."""
N = 3
"""Words per n-gram."""

Grams = frozenset[tuple[str, ...]]


def grams(text: str) -> Grams:
    """Return the word trigrams of `text`, without case and punctuation; shorter texts are one gram."""
    words = re.findall(r"\w+", text.casefold())
    shifted = [words[i:] for i in range(N)]
    return frozenset(zip(*shifted, strict=False)) or frozenset([tuple(words)])


def similarity(a: Grams, b: Grams) -> float:
    """Return the Jaccard similarity, 0 … 1."""
    both = len(a & b)
    return both / (len(a) + len(b) - both)


class Likeness(NamedTuple):
    """How alike some texts are, 0 … 1."""

    near_duplicate_fraction: float
    """The fraction that are near-duplicates (similarity ≥ `NEAR`) of an earlier text that is none."""
    mean_similarity: float
    """Over all pairs."""


def likeness(texts: Sequence[str]) -> Likeness:
    """Measure how alike `texts` are; both figures are 0 for fewer than two texts."""
    sets = [grams(text) for text in texts]
    pairs = {(i, j): similarity(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    if not pairs:
        return Likeness(0.0, 0.0)
    distinct: list[int] = []
    for j in range(len(sets)):
        if all(pairs[i, j] < NEAR for i in distinct):
            distinct.append(j)
    return Likeness(1 - len(distinct) / len(sets), sum(pairs.values()) / len(pairs))


def most_different(texts: Sequence[str], number: int) -> tuple[list[int], dict[int, tuple[int, float]]]:
    """Choose the `number` texts that differ most: the first, then each time the one least like any chosen.

    Returns:
        Places of the chosen texts, ascending; and for each of the others (the chosen text most like it, similarity).
    """
    sets = [grams(text) for text in texts]
    # nearest[i]: the chosen text most like text i, and how similar they are
    nearest = {i: (0, similarity(sets[i], sets[0])) for i in range(1, len(sets))}
    chosen = [0] if sets and number else []
    while nearest and len(chosen) < number:
        furthest = min(nearest, key=lambda i: (nearest[i][1], i))
        chosen.append(furthest)
        del nearest[furthest]
        for i, (_, highest) in nearest.items():
            to_new = similarity(sets[i], sets[furthest])
            if to_new > highest:
                nearest[i] = (furthest, to_new)
    return sorted(chosen), nearest


class Diversity(NamedTuple):
    """How alike the rationales of one question are, over the questions of a task, method and degree."""

    task: str
    method: str
    degree: int
    questions: int
    """With two or more rationales."""
    rationales: int
    distinct: int
    """Exact texts."""
    near_duplicate_fraction: float
    """Mean over questions, 0 … 1."""
    mean_similarity: float
    """Mean over questions, 0 … 1."""


def summary(training: pa.Table) -> list[Diversity]:
    """Measure how alike the rationales of one question are, for each task, method and degree D > 1 of TRAINING.

    All candidates with a rationale count, kept or not. Rows are sorted by task, method and degree.
    """
    keys = ["task", "method", "degree", "question_id"]
    counted = pc.and_(pc.greater(training["degree"], 1), pc.not_equal(training["rationale"], ""))
    ordered = training.select([*keys, "rationale"]).filter(counted).sort_by(ascending(keys))
    summaries = []
    for (task, method, degree), rows in groupby(
        tables.rows(ordered), key=lambda r: (r["task"], r["method"], r["degree"])
    ):
        groups = []
        for _, of_question in groupby(rows, key=lambda row: row["question_id"]):
            texts = [row["rationale"] for row in of_question]
            if len(texts) > 1:
                groups.append(texts)
        if groups:
            summaries.append(_diversity(task, method, degree, groups))
    return summaries


def _diversity(task: str, method: str, degree: int, groups: Sequence[Sequence[str]]) -> Diversity:
    """Summarise the rationales of each question."""
    figures = [likeness(texts) for texts in groups]
    return Diversity(
        task=task,
        method=method,
        degree=degree,
        questions=len(groups),
        rationales=sum(len(texts) for texts in groups),
        distinct=sum(len(set(texts)) for texts in groups),
        near_duplicate_fraction=fmean(figure.near_duplicate_fraction for figure in figures),
        mean_similarity=fmean(figure.mean_similarity for figure in figures),
    )

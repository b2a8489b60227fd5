"""How different the rationales of one question are (Li et al. 2024 complain that eight samples are nearly one)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

NEAR = 0.8
"""Similarity from which two rationales count as near-duplicates."""
N = 3
"""Words per n-gram."""

Grams = frozenset[tuple[str, ...]]


def grams(text: str) -> Grams:
    """The word trigrams of `text`, without case and punctuation; shorter texts are one gram."""
    words = re.findall(r"\w+", text.casefold())
    return frozenset(zip(*(words[i:] for i in range(N)), strict=False)) or frozenset([tuple(words)])


def similarity(a: Grams, b: Grams) -> float:
    """Jaccard similarity, 0 … 1."""
    both = len(a & b)
    return both / (len(a) + len(b) - both)


def likeness(texts: Sequence[str]) -> tuple[float, float]:
    """How alike `texts` are, 0 … 1: the share that are near-duplicates (similarity ≥ NEAR) of an earlier kept one
    (1 - distinct / all), and the mean similarity over all pairs; both 0 for fewer than two texts.
    """
    sets = [grams(text) for text in texts]
    like = {(i, j): similarity(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    if not like:
        return 0.0, 0.0
    distinct: list[int] = []
    for j in range(len(sets)):
        if all(like[i, j] < NEAR for i in distinct):
            distinct.append(j)
    return 1 - len(distinct) / len(sets), sum(like.values()) / len(like)


def most_different(texts: Sequence[str], number: int) -> tuple[list[int], dict[int, tuple[int, float]]]:
    """Choose the `number` texts that differ most: the first, then each time the one least like any chosen.

    Returns:
        Places of the chosen texts, ascending; and for each of the others (the chosen text most like it, similarity).
    """
    sets = [grams(t) for t in texts]
    # like[i]: the chosen text most like text i
    like = {i: (0, similarity(sets[i], sets[0])) for i in range(1, len(sets))}
    chosen = [0] if sets and number else []
    while like and len(chosen) < number:
        best = min(like, key=lambda i: (like[i][1], i))
        chosen.append(best)
        del like[best]
        for i, (_, nearest) in like.items():
            if (s := similarity(sets[i], sets[best])) > nearest:
                like[i] = (best, s)
    return sorted(chosen), like


def summary(training: pa.Table) -> list[dict[str, Any]]:
    """How alike the rationales of one question are, for each task, method and degree D > 1 of TRAINING.

    All candidates with a rationale count, kept or not.

    Returns:
        Dicts of task, method, degree, questions (with two or more rationales), rationales, distinct (exact texts),
        near_duplicate_fraction and mean_similarity (means over questions, 0 … 1); sorted by the first three.
    """
    keys = ["task", "method", "degree", "question_id"]
    wanted = pc.and_(pc.greater(training["degree"], 1), pc.not_equal(training["rationale"], ""))
    rows = training.select([*keys, "rationale"]).filter(wanted).sort_by([(key, "ascending") for key in keys])
    found = []
    for key, of_key in groupby(_rows(rows), key=lambda row: tuple(row[k] for k in keys[:3])):
        groups = [[row["rationale"] for row in g] for _, g in groupby(of_key, key=lambda row: row["question_id"])]
        groups = [g for g in groups if len(g) > 1]
        if not groups:
            continue
        near, mean = (sum(shares) / len(groups) for shares in zip(*map(likeness, groups), strict=True))
        found.append(
            dict(zip(keys[:3], key, strict=True))
            | {
                "questions": len(groups),
                "rationales": sum(map(len, groups)),
                "distinct": sum(len(set(g)) for g in groups),
                "near_duplicate_fraction": near,
                "mean_similarity": mean,
            }
        )
    return found


def _rows(table: pa.Table) -> Any:
    return (row for batch in table.to_batches(max_chunksize=50_000) for row in batch.to_pylist())

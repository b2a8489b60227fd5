"""How different the rationales of one question are (Li et al. 2024 complain that eight samples are nearly one)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

NEAR = 0.8
"""Similarity from which two rationales count as near-duplicates."""
N = 3
"""Words per n-gram."""

Grams = frozenset[tuple[str, ...]]


def grams(text: str) -> Grams:
    """The word trigrams of `text`, without case and punctuation; shorter texts are one gram."""
    words = re.findall(r"\w+", text.casefold())
    return frozenset(tuple(words[i : i + N]) for i in range(max(1, len(words) - N + 1)))


def similarity(a: Grams, b: Grams) -> float:
    """Jaccard similarity, 0 … 1."""
    return len(a & b) / len(a | b)


def near_duplicate_share(texts: Sequence[str]) -> float:
    """Share of `texts` that are near-duplicates (similarity ≥ NEAR) of an earlier kept one: 1 - distinct / all."""
    distinct: list[Grams] = []
    for text in texts:
        g = grams(text)
        if all(similarity(g, other) < NEAR for other in distinct):
            distinct.append(g)
    return 1 - len(distinct) / len(texts) if texts else 0.0


def mean_similarity(texts: Sequence[str]) -> float:
    """Mean similarity over all pairs; 0 for fewer than two texts."""
    pairs = list(combinations([grams(t) for t in texts], 2))
    return sum(similarity(a, b) for a, b in pairs) / len(pairs) if pairs else 0.0


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

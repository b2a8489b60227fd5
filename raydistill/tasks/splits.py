"""Which questions train and which test: the published rule, the published template split, and unseen flip patterns."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np

from raydistill.method.questions import Question
from raydistill.runtime.errors import QuestionsError

Pattern = tuple[bool, ...]
"""Who flips the coin, in order."""


def random_split(n: int, test_fraction: float = 0.3, seed: int = 0) -> list[str]:
    """Return `n` times train or test; the defaults give each benchmark's published split (Ho et al. 2023)."""
    order = np.random.RandomState(seed).permutation(n)
    train_rows = round((1 - test_fraction) * n)
    splits = np.full(n, "test", dtype=object)
    splits[order[:train_rows]] = "train"
    return splits.tolist()


def flips(question: str) -> Pattern:
    """Return the flip pattern of a coin_flip question."""
    verbs = re.findall(r"(does not flip|flips) the coin", question)
    return tuple(verb == "flips" for verb in verbs)


def unseen_pattern_split(questions: Sequence[Question], unseen: int, seed: int) -> list[str]:
    """Hold `unseen` flip patterns out as `test_unseen`; the other questions are split 70:30 by the published rule.

    The patterns are chosen by `seed` among those that occur, half of them with the answer yes if that is possible.

    Raises:
        QuestionsError: there are not more than `unseen` patterns.
    """
    patterns = [flips(question.text) for question in questions]
    distinct = sorted(set(patterns))
    if unseen >= len(distinct):
        raise QuestionsError(
            f"questions.unseen_patterns is {unseen}, but these coin_flip questions have only {len(distinct)}.",
            "Hold fewer out, or generate questions with more people (questions.generated_items).",
        )
    held_out = _held_out(distinct, unseen, seed)
    seen = sum(pattern not in held_out for pattern in patterns)
    seen_split = iter(random_split(seen))
    return ["test_unseen" if pattern in held_out else next(seen_split) for pattern in patterns]


def _held_out(patterns: Sequence[Pattern], unseen: int, seed: int) -> set[Pattern]:
    """Choose `unseen` of `patterns`, half of them with an even number of flips if that is possible."""
    rng = random.Random(f"unseen patterns {seed}")
    shuffled = list(patterns)
    rng.shuffle(shuffled)
    even = [pattern for pattern in shuffled if sum(pattern) % 2 == 0]
    odd = [pattern for pattern in shuffled if sum(pattern) % 2 == 1]
    # Which answer gets the odd one of an odd number.
    first, second = (odd, even) if rng.randrange(2) else (even, odd)
    count = min((unseen + 1) // 2, len(first))
    count = max(count, unseen - len(second))
    return {*first[:count], *second[: unseen - count]}

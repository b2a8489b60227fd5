"""Which questions train and which test: the published rule, the published template split, and unseen flip patterns."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np

from raydistill.runtime.errors import QuestionsError
from raydistill.tasks.items import Item


def random_split(n: int, test_fraction: float = 0.3, seed: int = 0) -> list[str]:
    """`n` times train or test; seed 0 and share 0.3 give the published split of each benchmark (Ho et al. 2023)."""
    order = np.random.RandomState(seed).permutation(n)
    splits = np.full(n, "test", dtype=object)
    splits[order[: round((1 - test_fraction) * n)]] = "train"
    return splits.tolist()


def flips(question: str) -> tuple[bool, ...]:
    """The flip pattern of a coin_flip question: who flips, in order."""
    return tuple(found == "flips" for found in re.findall(r"(does not flip|flips) the coin", question))


def unseen_pattern_split(items: Sequence[Item], unseen: int, seed: int) -> list[str]:
    """Hold `unseen` flip patterns out as `test_unseen`; the other questions are split 70:30 by the published rule.

    The patterns are chosen by `seed` among those that occur, half of them with the answer yes where that is possible.

    Raises:
        QuestionsError: there are not more than `unseen` patterns.
    """
    patterns = [flips(item.question) for item in items]
    distinct = sorted(set(patterns))
    if unseen >= len(distinct):
        raise QuestionsError(
            f"questions.unseen_patterns is {unseen}, but these coin_flip questions have only {len(distinct)}.",
            "Hold fewer out, or generate questions with more people (questions.generated_items).",
        )
    rng = random.Random(f"unseen patterns {seed}")
    rng.shuffle(distinct)
    by_answer = {parity: [p for p in distinct if sum(p) % 2 == parity] for parity in (0, 1)}
    first = rng.randrange(2)  # which answer gets the odd one
    count = min((unseen + 1) // 2, len(by_answer[first]))
    count = max(count, unseen - len(by_answer[1 - first]))
    held_out = {*by_answer[first][:count], *by_answer[1 - first][: unseen - count]}
    seen = iter(random_split(sum(pattern not in held_out for pattern in patterns)))
    return ["test_unseen" if pattern in held_out else next(seen) for pattern in patterns]

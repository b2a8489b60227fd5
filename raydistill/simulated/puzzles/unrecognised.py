"""Questions of no family: the answer is unknown, unless a test supplies it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from raydistill.simulated.puzzles.base import Intent, Puzzle, Working, guessed


@dataclass(frozen=True, kw_only=True)
class Unrecognised(Puzzle[str]):
    """A question of which nothing is understood."""

    answer_type = "text"

    @classmethod
    def parse(cls, question: str) -> Self | None:
        """Take any question."""
        return cls()

    def attempt(self, intent: Intent, rng: Random) -> Working[str]:
        """Give the answer that a test supplied, or none."""
        if intent.right and intent.gold is not None:
            return Working((), intent.gold)
        return Working((), "unknown")

    def rationale(self, working: Working[str], style: Random, *, sure: bool) -> str:
        """State the guess."""
        return guessed([f"My guess is {working.answer}."], sure=sure)

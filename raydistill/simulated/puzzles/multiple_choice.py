"""Other questions with choices: only guessed at, unless a test supplies the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Self

from raydistill.simulated.puzzles import options
from raydistill.simulated.puzzles.base import Intent, Puzzle, Wording, Working, guessed


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Puzzle[str]):
    """A question of which only the options are understood."""

    answer_type = "letter"
    zero_shot_answer_fraction = 0.17

    @classmethod
    def parse(cls, question: str) -> Self | None:
        """Read the options from a question's text."""
        choices = options.parse_options(question)
        return cls(choices=choices) if len(choices) > 1 else None

    def attempt(self, intent: Intent, rng: Random) -> Working[str]:
        """Choose the answer that a test supplied, or any other letter."""
        if intent.right and intent.gold is not None:
            return Working((), intent.gold)
        letters = [letter for letter in options.letters(self.choices) if letter != intent.gold]
        return Working((), rng.choice(letters))

    def rationale(self, working: Working[str], style: Random, *, sure: bool) -> str:
        """Name the option."""
        option = options.option_text(self.choices, working.answer)
        return guessed([f"Of the choices, ({working.answer}) {option} fits."], sure=sure)

    def answer_wordings(self, answer: str) -> list[Wording]:
        """List the letter and the option in the shapes that real teachers use."""
        return choice_wordings(self.choices, answer)


def choice_wordings(choices: Sequence[str], answer: str) -> list[Wording]:
    """List the texts that name an option: by its letter, its text or both."""
    option = options.option_text(choices, answer)
    return [
        Wording(f" ({answer}).", 50),
        Wording(f" {answer}.", 15),
        Wording(f" ({answer}) {option}.", 20),
        Wording(f" {option}.", 15),
    ]

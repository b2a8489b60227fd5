"""The puzzles that the simulated teacher recognises in a question's text, one family a file.

A new family is one file with a subclass of `Puzzle` (or of `StepPuzzle`, if it is solved step by step) and one entry in
`FAMILIES`.
"""

from __future__ import annotations

from functools import lru_cache

from raydistill.simulated.puzzles.arithmetic import Arithmetic
from raydistill.simulated.puzzles.base import AnyPuzzle, Intent, Working
from raydistill.simulated.puzzles.coin_flip import CoinFlip
from raydistill.simulated.puzzles.last_letters import LastLetters
from raydistill.simulated.puzzles.multiple_choice import MultipleChoice
from raydistill.simulated.puzzles.shuffled_objects import ShuffledObjects
from raydistill.simulated.puzzles.unrecognised import Unrecognised

__all__ = ["FAMILIES", "AnyPuzzle", "Intent", "Puzzle", "Working", "recognise"]

FAMILIES: tuple[type[AnyPuzzle], ...] = (CoinFlip, LastLetters, ShuffledObjects, MultipleChoice, Arithmetic)
"""In the order in which they are tried: a tracking question has choices, and a question with choices has numbers."""


@lru_cache(4096)
def recognise(question: str) -> AnyPuzzle:
    """Return the puzzle in `question`; `Unrecognised` if it belongs to no family."""
    for family in FAMILIES:
        puzzle = family.parse(question)
        if puzzle is not None:
            return puzzle
    return Unrecognised()

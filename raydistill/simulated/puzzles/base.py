"""What a family of puzzles provides: parsing, attempts, and the wordings of rationales and answers.

Answers are canonical texts: "yes" or "no", "yajo", a letter for questions with choices, "43".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

Step = TypeVar("Step")
"""What a family's trace records of one step."""


class Intent(NamedTuple):
    """What an attempt is meant to come to."""

    right: bool
    """Whether the answer is right."""
    lucky: bool = False
    """Whether a right answer rests on wrong steps."""
    same_mistake: bool = False
    """Whether lucky steps are all wrong in the same way."""
    gold: str | None = None
    """The right answer of a question that cannot be solved here."""


class Working(NamedTuple, Generic[Step]):
    """An attempt: `trace` has one entry per step, as the rationale tells it; `answer` is what the rationale ends in."""

    trace: tuple[Step, ...]
    answer: str


class Wording(NamedTuple):
    """A text and how often it is chosen, relative to the others."""

    text: str
    weight: int


def choose(wordings: Sequence[Wording], rng: Random) -> str:
    """Draw one of the texts by weight."""
    texts = [wording.text for wording in wordings]
    weights = [wording.weight for wording in wordings]
    return rng.choices(texts, weights)[0]


@dataclass(frozen=True, kw_only=True)
class Puzzle(ABC, Generic[Step]):
    """A question that the simulated teacher has read; one subclass per family."""

    answer_type: ClassVar[str]
    zero_shot_answer_fraction: ClassVar[float] = 0.02
    """Fraction of zero-shot rationales with an answer sentence of their own (Kojima et al. 2022, text-davinci-002)."""

    choices: tuple[str, ...] = ()
    """Option texts of a question with choices."""

    @classmethod
    @abstractmethod
    def parse(cls, question: str) -> Self | None:
        """Read the puzzle from a question's text; None if it is no puzzle of this family."""

    @abstractmethod
    def attempt(self, intent: Intent, rng: Random) -> Working[Step]:
        """Work the puzzle out, to the end that is intended."""

    @abstractmethod
    def rationale(self, working: Working[Step], style: Random, *, sure: bool) -> str:
        """Word a working; `sure` if the answer is worked out or was supplied, not guessed."""

    def conclusion(self, sentence: str) -> str | None:
        """Return the answer that a rationale's last sentence states; None if it states none."""
        words = sentence.rstrip(".!?").split(" is ")
        return words[-1] if len(words) > 1 else None

    def answer_wordings(self, answer: str) -> list[Wording]:
        """List the texts of an answer call's reply."""
        return [Wording(f" {answer}.", 1)]

    def similar_question(self, names: Sequence[str]) -> str | None:
        """Invent another question of the family about `names`; None if the family invents none."""
        return None


AnyPuzzle = Puzzle[Any]
"""A puzzle of any family."""

GUESS_NOTICE = "This simulated teacher cannot work the question out, so what follows is a guess."


def guessed(parts: Sequence[str], *, sure: bool) -> str:
    """Join the sentences of a rationale, behind a notice if it is a guess."""
    text = " ".join(parts)
    return text if sure else f"{GUESS_NOTICE} {text}"

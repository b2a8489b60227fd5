"""Coin flips: "A coin is heads up. Ann flips the coin. Bob does not flip the coin. Is the coin still heads up?"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

from raydistill.simulated.puzzles.base import Wording, Working
from raydistill.simulated.puzzles.layout import lay_out
from raydistill.simulated.puzzles.step_puzzle import Mistakes, StepPuzzle

MISREADS_TURN, WRONG_SIDE = 1, 2  # kinds of mistakes

_START = re.compile(r"\bcoin is (heads|tails) up", re.I)
_TURN = re.compile(r"(?:^|[.!?]\s+)([^.!?]+?) (flips|reverses|does not flip|doesn['’]t flip) the coin", re.I)
_ASKED_SIDE = re.compile(r"\bis the coin (?:still )?(heads|tails) up\?", re.I)
_VERDICT = re.compile(r"answer is (yes|no)\b", re.I)
_STATED_SIDE = re.compile(r"(not |no longer )?(heads|tails)")

OTHER_SIDE = {"heads": "tails", "tails": "heads"}

OPENINGS = (
    "The coin starts {side} up.",
    "At first the coin is {side} up.",
    "The coin is {side} up at the start.",
    "We start with the coin {side} up.",
    "To begin with, the coin is {side} up.",
    "The coin begins {side} up.",
)
FLIPS = (
    "{name} flips it, so it is {side} up.",
    "{name} flips the coin, so it is now {side} up.",
    "{name} flips it, which turns it {side} up.",
    "{name} flips the coin, and it becomes {side} up.",
    "{name} flips, so the coin is {side} up.",
    "When {name} flips it, the coin turns {side} up.",
)
STAYS = (
    "{name} does not flip it, so it stays {side} up.",
    "{name} does not flip the coin, so it is still {side} up.",
    "{name} doesn't flip it, so it remains {side} up.",
    "{name} does not flip, so the coin stays {side} up.",
    "Since {name} does not flip it, the coin stays {side} up.",
)
ENDINGS = (
    "So the coin is {verdict} {asked} up.",
    "So in the end the coin is {side} up.",
    "At the end the coin is {side} up, so it is {verdict} {asked} up.",
    "The coin ends {side} up.",
    "This means the coin is {verdict} {asked} up.",
    "After everyone has had a turn, the coin is {side} up.",
)


class Turn(NamedTuple):
    """What a person does with the coin."""

    name: str
    flips: bool


class TurnResult(NamedTuple):
    """A turn as a working has it, and the side that is up after it."""

    name: str
    flips: bool
    side: str


@dataclass(frozen=True, kw_only=True)
class CoinFlip(StepPuzzle[TurnResult]):
    """A coin, the people who flip it or do not, and the side that is asked for."""

    answer_type = "yes_no"
    zero_shot_answer_fraction = 0.12

    start_side: str
    turns: tuple[Turn, ...]
    asked_side: str

    @classmethod
    def parse(cls, question: str) -> Self | None:
        """Read the puzzle from a question's text."""
        start = _START.search(question)
        asked = _ASKED_SIDE.search(question)
        turns = []
        for match in _TURN.finditer(question):
            flips = match[2].lower() in ("flips", "reverses")
            turns.append(Turn(match[1].strip(), flips))
        if not (start and asked and turns):
            return None
        return cls(start_side=start[1].lower(), turns=tuple(turns), asked_side=asked[1].lower())

    @property
    def step_count(self) -> int:
        """Number of turns."""
        return len(self.turns)

    def solve(self, mistakes: Mistakes) -> Working[TurnResult]:
        """Follow the coin; a mistake misreads who flips it, or gets the side after a turn wrong."""
        side = self.start_side
        trace = []
        for index, (name, flips) in enumerate(self.turns):
            mistake = mistakes.get(index)
            if mistake == MISREADS_TURN:
                flips = not flips
            turns_over = flips != (mistake == WRONG_SIDE)
            if turns_over:
                side = OTHER_SIDE[side]
            trace.append(TurnResult(name, flips, side))
        return Working(tuple(trace), _yes_no(side == self.asked_side))

    def habitual_mistakes(self) -> Mistakes:
        """Let no flip turn the coin over."""
        return {index: WRONG_SIDE for index, turn in enumerate(self.turns) if turn.flips}

    def other_answer(self, answer: str, rng: Random) -> str:
        """Turn yes into no."""
        return _yes_no(answer != "yes")

    def rationale(self, working: Working[TurnResult], style: Random, *, sure: bool) -> str:
        """Tell the turns in one of many wordings."""
        wordings = {True: style.choice(FLIPS), False: style.choice(STAYS)}
        steps = [wordings[turn.flips].format(name=turn.name, side=turn.side) for turn in working.trace]
        if working.answer == "yes":
            side = self.asked_side
            verdict = "still"
        else:
            side = OTHER_SIDE[self.asked_side]
            verdict = style.choice(("not", "no longer"))
        opening = style.choice(OPENINGS).format(side=self.start_side)
        ending = style.choice(ENDINGS).format(side=side, asked=self.asked_side, verdict=verdict)
        return lay_out(opening, steps, ending, style)

    def conclusion(self, sentence: str) -> str | None:
        """Read the verdict, or the side that the sentence says is up."""
        verdict = _VERDICT.search(sentence)
        if verdict:
            return verdict[1].lower()
        stated = _STATED_SIDE.findall(sentence)
        if not stated:
            return None
        negation, side = stated[-1]
        return _yes_no(bool(negation) != (side == self.asked_side))

    def answer_wordings(self, answer: str) -> list[Wording]:
        """List yes or no in the shapes that real teachers use."""
        adverb = "still" if answer == "yes" else "not"
        title = answer.title()
        return [
            Wording(f" {answer}.", 40),
            Wording(f" {title}.", 20),
            Wording(f" {answer}", 10),
            Wording(f" {title}, the coin is {adverb} {self.asked_side} up.", 15),
            Wording(f" ({title}).", 5),
            Wording(f" **{answer}**", 5),
            Wording(f"\n\n{title}.", 5),
        ]


def invent(names: Sequence[str], rng: Random) -> str:
    """Make up a question in which each of `names` flips the coin or does not."""
    turns = []
    for name in names:
        action = rng.choice(("flips", "does not flip"))
        turns.append(f"{name} {action} the coin.")
    return f"A coin is heads up. {' '.join(turns)} Is the coin still heads up?"


def _yes_no(truth: bool) -> str:
    return "yes" if truth else "no"

"""Tracking shuffled objects: people swap what they hold, and the question is who holds what at the end."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

from raydistill.simulated.puzzles import options
from raydistill.simulated.puzzles.base import Wording, Working
from raydistill.simulated.puzzles.layout import lay_out, listed
from raydistill.simulated.puzzles.multiple_choice import choice_wordings
from raydistill.simulated.puzzles.step_puzzle import Mistakes, StepPuzzle

FORGOTTEN, WITH_THIRD = 1, 2  # kinds of mistakes: the swap does not happen, or happens with somebody else

_OPENING = re.compile(r"At the start[^:]*: (.+?)\.\s", re.S)
_HOLDING_SEPARATOR = re.compile(r", (?:and )?| and (?=\w+ (?:has|gets|is))")
_HOLDING = re.compile(r"(?:and )?(\w+) (has|gets|is \w+ing(?: with)?|holds|owns) (.+)")
_SWAP = re.compile(r"(\w+) and (\w+) (?:swap|trade|switch|exchange)")
_ASKED_NAME = re.compile(r"At the end of [^,]+, (\w+) (?:has|gets|is|holds|owns)\b[^,.]*$")
_ARTICLE = re.compile(r"^(?:an?|the) (?=[a-z])")

OPENINGS = (
    "At the start, {holdings}.",
    "In the beginning, {holdings}.",
    "We start with this: {holdings}.",
    "To begin with, {holdings}.",
)
STEPS = (
    "{a} and {b} swap, so {a} {verb} {x} and {b} {verb} {y}.",
    "{a} and {b} trade: now {a} {verb} {x} and {b} {verb} {y}.",
    "After {a} and {b} swap, {a} {verb} {x} and {b} {verb} {y}.",
    "{a} and {b} switch, which means {a} {verb} {x} and {b} {verb} {y}.",
)
ENDINGS = (
    "At the end, {asked} {verb} {thing}.",
    "So {asked} {verb} {thing}.",
    "In the end, {asked} {verb} {thing}.",
    "This means that {asked} {verb} {thing}.",
)


class Holding(NamedTuple):
    """Who holds what."""

    name: str
    thing: str


class SwapResult(NamedTuple):
    """Two people who swap, and what each of them holds after it."""

    first: str
    second: str
    first_thing: str
    second_thing: str


@dataclass(frozen=True, kw_only=True)
class ShuffledObjects(StepPuzzle[SwapResult]):
    """Who holds what at the start, the swaps, and whose thing is asked for."""

    answer_type = "letter"
    zero_shot_answer_fraction = 0.12

    start: tuple[Holding, ...]
    """In the question's order."""
    swaps: tuple[tuple[str, str], ...]
    asked_name: str
    verb: str
    """How the question says that somebody holds something: "has", "is dancing with", "is playing"."""

    @classmethod
    def parse(cls, question: str) -> Self | None:
        """Read the puzzle from a question's text."""
        choices = options.parse_options(question)
        story = question.split("\nWhich choice")[0].split("Answer ")[0].strip()
        asked = _ASKED_NAME.search(story)
        opening = _OPENING.search(story)
        if not (choices and asked and opening):
            return None
        holdings = _parse_holdings(opening[1])
        swaps = tuple((match[1], match[2]) for match in _SWAP.finditer(story))
        if not (holdings and swaps):
            return None
        verb, start = holdings
        puzzle = cls(start=start, swaps=swaps, asked_name=asked[1], verb=verb, choices=choices)
        return puzzle if puzzle._is_consistent() else None

    @property
    def step_count(self) -> int:
        """Number of swaps."""
        return len(self.swaps)

    def solve(self, mistakes: Mistakes) -> Working[SwapResult]:
        """Follow the swaps; a mistake forgets one, or gives the first one's thing to a third person."""
        holds = dict(self.start)
        trace = []
        for index, (first, second) in enumerate(self.swaps):
            mistake = mistakes.get(index)
            if mistake is None:
                holds[first], holds[second] = holds[second], holds[first]
            elif mistake == WITH_THIRD:
                third = self._third_person(first, second)
                holds[first], holds[third] = holds[third], holds[first]
            trace.append(SwapResult(first, second, holds[first], holds[second]))
        answer = self._letter_of(holds[self.asked_name]) or ""
        return Working(tuple(trace), answer)

    def habitual_mistakes(self) -> Mistakes:
        """Forget every swap."""
        return dict.fromkeys(range(len(self.swaps)), FORGOTTEN)

    def other_answer(self, answer: str, rng: Random) -> str:
        """Return the letter of another thing."""
        return rng.choice([letter for letter in self._letters_in_order() if letter != answer])

    def rationale(self, working: Working[SwapResult], style: Random, *, sure: bool) -> str:
        """Tell the swaps in one of many wordings."""
        step_wording = style.choice(STEPS)
        holdings = listed([f"{name} {self.verb} {thing}" for name, thing in self.start])
        opening = style.choice(OPENINGS).format(holdings=holdings)
        steps = []
        for a, b, x, y in working.trace:
            steps.append(step_wording.format(a=a, b=b, x=x, y=y, verb=self.verb))
        thing = self._thing_of(working.answer)
        ending = style.choice(ENDINGS).format(asked=self.asked_name, verb=self.verb, thing=thing)
        return lay_out(opening, steps, ending, style)

    def conclusion(self, sentence: str) -> str | None:
        """Read the letter of the thing that the sentence names last."""
        last_position, last_letter = -1, ""
        for holding, letter in zip(self.start, self._letters_in_order(), strict=True):
            position = sentence.rfind(holding.thing)
            last_position, last_letter = max((last_position, last_letter), (position, letter))
        return last_letter if last_position >= 0 else None

    def answer_wordings(self, answer: str) -> list[Wording]:
        """List the letter, the option and the sentence that names the thing."""
        thing = self._thing_of(answer) or options.option_text(self.choices, answer)
        sentence = Wording(f" {self.asked_name} {self.verb} {thing}.", 10)
        return [*choice_wordings(self.choices, answer), sentence]

    def _is_consistent(self) -> bool:
        """Whether everybody named holds something at the start, and everything is an option."""
        names = {holding.name for holding in self.start}
        swapping = set(itertools.chain(*self.swaps))
        everything_is_an_option = all(self._letter_of(holding.thing) for holding in self.start)
        return swapping <= names and self.asked_name in names and everything_is_an_option

    def _third_person(self, first: str, second: str) -> str:
        """Return the first name in order that takes no part in the swap; `first` if there is none."""
        for name in dict(self.start):
            if name not in (first, second):
                return name
        return first

    def _letters_in_order(self) -> list[str]:
        return [self._letter_of(holding.thing) or "" for holding in self.start]

    def _letter_of(self, thing: str) -> str | None:
        return options.letter_of(self.choices, thing)

    def _thing_of(self, letter: str) -> str:
        for holding in self.start:
            if self._letter_of(holding.thing) == letter:
                return holding.thing
        return ""


def _parse_holdings(text: str) -> tuple[str, tuple[Holding, ...]] | None:
    """Return the verb and who holds what: "Alice has a red ball, Bob has ..."; None if a part says something else."""
    matches = _all_holdings(_HOLDING_SEPARATOR.split(text))
    if not matches:
        return None
    verb = matches[0][2]
    if verb == "gets":
        verb = "has"
    start = []
    for match in matches:
        thing = _ARTICLE.sub("the ", match[3].strip())
        start.append(Holding(match[1], thing))
    return verb, tuple(start)


def _all_holdings(parts: Sequence[str]) -> list[re.Match[str]]:
    """Match every part; empty if one of them does not match."""
    matches = []
    for part in parts:
        match = _HOLDING.fullmatch(part.strip())
        if match is None:
            return []
        matches.append(match)
    return matches

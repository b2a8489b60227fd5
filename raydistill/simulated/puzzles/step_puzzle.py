"""Puzzles that are solved step by step, and how an attempt at one goes wrong.

A wrong answer comes from one wrong step that is carried on, or (`MISSTATED_FRACTION`) from right steps and a wrong
final statement. A lucky one has wrong steps and the right answer: two mistakes that cancel each other, a mistake that
does not matter, or a right statement after wrong steps.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from random import Random

from raydistill.simulated.puzzles.base import Intent, Puzzle, Step, Working

MISSTATED_FRACTION = 0.2  # of the wrong answers: all steps are right, only the final statement is wrong
MISTAKES = (1, 2)  # kinds of mistakes in a step; what each is depends on the family
PLACES_FOR_PAIRS = 8  # places of mistakes that are tried in pairs

Mistakes = Mapping[int, int]
"""Index of a step -> kind of its mistake."""


class StepPuzzle(Puzzle[Step]):
    """A puzzle whose answer follows from its steps."""

    @property
    @abstractmethod
    def step_count(self) -> int:
        """Number of steps."""

    @abstractmethod
    def solve(self, mistakes: Mistakes) -> Working[Step]:
        """Work the puzzle out with these mistakes (rightly if there are none)."""

    @abstractmethod
    def habitual_mistakes(self) -> Mistakes:
        """Make the same mistake in every step (none where there is nothing to get wrong)."""

    @abstractmethod
    def other_answer(self, answer: str, rng: Random) -> str:
        """Return a plausible answer that differs from `answer`."""

    def attempt(self, intent: Intent, rng: Random) -> Working[Step]:
        """Work the puzzle out, rightly or with mistakes that are carried on."""
        truth = self.solve({})
        if not intent.right:
            return self._wrong_attempt(truth, rng)
        if not intent.lucky:
            return truth
        if intent.same_mistake:
            habitual = self.solve(self.habitual_mistakes())
            return Working(habitual.trace, truth.answer)
        return self._lucky_attempt(truth, rng)

    def _wrong_attempt(self, truth: Working[Step], rng: Random) -> Working[Step]:
        misstated = rng.random() < MISSTATED_FRACTION
        if not misstated:
            for working in self._mistaken_workings(truth, rng):
                if working.answer != truth.answer:
                    return working
        return Working(truth.trace, self.other_answer(truth.answer, rng))

    def _lucky_attempt(self, truth: Working[Step], rng: Random) -> Working[Step]:
        workings = list(self._mistaken_workings(truth, rng))
        for working in workings:
            if working.answer == truth.answer:
                return working
        if workings:
            return Working(workings[0].trace, truth.answer)
        return truth

    def _mistaken_workings(self, truth: Working[Step], rng: Random) -> Iterator[Working[Step]]:
        """Yield workings with one mistake, then with two, in random order; all differ from `truth` in a step."""
        places = list(itertools.product(range(self.step_count), MISTAKES))
        rng.shuffle(places)
        for step, mistake in places:
            working = self.solve({step: mistake})
            if working.trace != truth.trace:
                yield working
        for first, second in itertools.combinations(places[:PLACES_FOR_PAIRS], 2):
            if first[0] == second[0]:
                continue
            working = self.solve(dict((first, second)))
            if working.trace != truth.trace:
                yield working

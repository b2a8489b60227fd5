"""Arithmetic in prose: sums over the figures of the question, guessed unless a test supplies the answer."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Self

from raydistill.simulated.puzzles.base import Intent, Puzzle, Wording, Working, guessed
from raydistill.simulated.puzzles.number_words import number_words

MOST_FIGURES = 5  # of a question; chains over more of them would be too many
LARGEST_RESULT = 1e9

OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
EQUATION_WORDINGS = ("We calculate {}.", "We get {}.", "That is {}.", "{}.")

_NUMBER = re.compile(r"(?<![\w.])\$?(\d[\d,]*(?:\.\d+)?|\.\d+)")
_FIGURE = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Puzzle[str]):
    """The figures of a question; a trace entry is an equation."""

    answer_type = "number"

    figures: tuple[str, ...]
    counts_money: bool

    @classmethod
    def parse(cls, question: str) -> Self | None:
        """Read the figures from a question's text."""
        figures = [figure.replace(",", "") for figure in _NUMBER.findall(question)]
        if len(figures) < 2:
            return None
        return cls(figures=tuple(figures[:MOST_FIGURES]), counts_money="$" in question)

    def attempt(self, intent: Intent, rng: Random) -> Working[str]:
        """Derive the supplied answer in the plainest way, or draw some other result."""
        chains = list(_chains(self.figures))
        if intent.gold is None:
            return _draw(chains, rng)
        gold = _canonical(intent.gold)
        if not intent.right:
            return _draw([chain for chain in chains if chain.answer != gold], rng)
        for chain in chains:
            if chain.answer == gold:
                return chain
        return Working((), gold)

    def rationale(self, working: Working[str], style: Random, *, sure: bool) -> str:
        """Tell the equations."""
        wording = style.choice(EQUATION_WORDINGS)
        equations = [wording.format(equation) for equation in working.trace]
        return guessed([*equations, f"The result is {working.answer}."], sure=sure)

    def conclusion(self, sentence: str) -> str | None:
        """Read the last figure of the sentence."""
        figures = _FIGURE.findall(sentence)
        return figures[-1] if figures else None

    def answer_wordings(self, answer: str) -> list[Wording]:
        """List the number in figures and words, with or without a unit of money."""
        wordings = [Wording(f" {answer}.", 60), Wording(f" {answer}", 20)]
        if answer.isdigit():
            number = int(answer)
            wordings.append(Wording(f" {number:,}.", 5))
            wordings.append(Wording(f" {answer}.0", 5))
            wordings.append(Wording(f" {number_words(number)}.", 10))
        if self.counts_money:
            wordings.append(Wording(f" ${answer}.", 40))
        return wordings


def _draw(chains: Sequence[Working[str]], rng: Random) -> Working[str]:
    """Draw a likely chain, one with a whole result; a bare number if there is no chain."""
    bare_number = str(rng.randrange(2, 100))
    if not chains:
        return Working((), bare_number)
    likely = [chain for chain in chains if chain.answer.isdigit()]
    return rng.choice(likely or chains)


def _chains(figures: Sequence[str]) -> Iterator[Working[str]]:
    """Yield every chain of one or two operations over the figures."""
    values = [float(figure) for figure in figures]
    for length in (2, 3):
        for operands in itertools.permutations(values, length):
            for signs in itertools.product(OPERATORS, repeat=length - 1):
                chain = _chain(operands, signs)
                if chain is not None:
                    yield chain


def _chain(operands: Sequence[float], signs: Sequence[str]) -> Working[str] | None:
    """Apply the operations from left to right; None if the result is no amount that a question would ask for."""
    total = operands[0]
    equations = []
    for sign, value in zip(signs, operands[1:], strict=True):
        if sign == "/" and value == 0:
            return None
        result = OPERATORS[sign](total, value)
        if not math.isfinite(result):
            return None
        equations.append(f"{_number_text(total)} {sign} {_number_text(value)} = {_number_text(result)}")
        total = result
    if not 0 < total < LARGEST_RESULT:
        return None
    return Working(tuple(equations), _number_text(total))


def _canonical(answer: str) -> str:
    if _NUMBER.fullmatch(answer):
        return _number_text(float(answer.replace(",", "")))
    return answer


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.10g}"

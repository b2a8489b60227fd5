"""Replay of a coin-flip question: whose turn it is, whether they flip the coin, and which side is up then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.method.steps.fault import StepFault, wrong_step
from raydistill.method.steps.wording import CONCLUDES, any_of, parts_by_name, sentences, shorten

# The question.
_START = re.compile(r"\bcoin is (heads|tails) up", re.IGNORECASE)
_TURN = re.compile(
    r"(?:^|[.!?]\s+)([^.!?]+?) (?:(does not|doesn['’]t|did not|didn['’]t) (?:flip|reverse)"
    r"|(?:flips|flipped|reverses|reversed)) (?:the coin|it)\b",
    re.IGNORECASE,
)
_ASKED = re.compile(r"\bcoin (?:still )?(heads|tails) up\?", re.IGNORECASE)

# The rationale.
_SIDE = re.compile(r"(\bnot (?:still )?|\bno longer |n['’]t (?:still )?)?\b(heads|tails)\b( (?:side )?down\b)?", re.I)
_STAYS = re.compile(
    r"(?:\b(?:does|did|do) not|\b(?:does|did|do)n['’]t|\bnot|\bnever)\b[^,.;]{0,20}?\b(?:flip|revers)", re.I
)
_FLIPS = re.compile(r"\b(?:flip(?:s|ped)?|revers(?:es|ed))\b", re.IGNORECASE)
_NOT_A_STEP = re.compile(
    r"\b(?:if|would|before|unless|neither|nobody|no one|whether|means? [\"“']"
    r"|state(?: \([^)]*\))? is (?:then |now )?(?:reversed|flipped|changed))|\?",
    re.IGNORECASE,
)
_FROM_SIDE = re.compile(r"\bfrom (?:heads|tails)(?: up)?", re.IGNORECASE)
_COUNT = re.compile(r"\b(even|odd) number of (?:times|flips)|\bflipped (?:a total of )?(once|twice|\w+ times)", re.I)
_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TIMES = {"once": 1, "twice": 2}
for _value, _word in enumerate(_DIGIT_WORDS):
    _TIMES[f"{_word} times"] = _value
    _TIMES[f"{_value} times"] = _value


class Turn(NamedTuple):
    """What one person does."""

    name: str
    flips: bool


class CoinQuestion(NamedTuple):
    """A coin-flip question, worked out."""

    turns: list[Turn]
    sides: list[str]
    """The side that is up at first and after each turn."""
    asked: str
    """The side that the question is about."""

    @property
    def flips(self) -> int:
        """How often the coin is flipped."""
        return sum(turn.flips for turn in self.turns)


def parse(question: str) -> CoinQuestion | None:
    """Return a coin-flip question worked out; None if it is none, or if a name comes twice."""
    start = _START.search(question)
    asked = _ASKED.search(question)
    turns = [Turn(match[1].strip(), not match[2]) for match in _TURN.finditer(question)]
    names = {turn.name for turn in turns}
    if not (start and asked and turns) or len(names) < len(turns):
        return None
    sides = [start[1].lower()]
    for turn in turns:
        sides.append(_other(sides[-1]) if turn.flips else sides[-1])
    return CoinQuestion(turns, sides, asked[1].lower())


def faults(text: str, coin: CoinQuestion, prediction: str | None) -> Iterator[StepFault]:
    """Yield what a rationale says against its question, in order."""
    names = re.compile(any_of([turn.name for turn in coin.turns]))
    reading = _Reading(coin, has_names=names.search(text) is not None)
    for sentence in sentences(text):
        if _NOT_A_STEP.search(sentence):
            continue
        for name, part in parts_by_name(sentence, names):
            yield from reading.faults(name, part)
        if not names.search(sentence):
            yield from _count_faults(sentence, coin.flips)
    ends_as_asked = reading.last_side == coin.asked
    if reading.last_side and prediction in ("yes", "no") and ends_as_asked != (prediction == "yes"):
        yield StepFault("contradiction", f"the coin ends {reading.last_side} up, answers {prediction}")


@dataclass
class _Reading:
    """How far the reading of a rationale has come."""

    coin: CoinQuestion
    has_names: bool
    """True if the rationale names a person at all."""
    turns_read: int = 0
    last_side: str = ""
    """The side that was stated last."""

    def faults(self, name: str, part: str) -> Iterator[StepFault]:
        """Yield the faults of the text behind `name` ("": before the first name of its sentence)."""
        sides = self.coin.sides
        possible = {sides[self.turns_read]}
        if name:
            i = self._turn_index(name)
            yield from _turn_faults(self.coin.turns[i], part)
            # A name that comes again (a summary) may stand with the side of then or of now.
            possible = {sides[i + 1]} if i >= self.turns_read else {sides[i + 1], sides[self.turns_read]}
            self.turns_read = max(self.turns_read, i + 1)
        elif CONCLUDES.search(part) or (self.turns_read == 0 and not self.has_names):
            possible.add(sides[-1])
        elif _STAYS.search(part) or _FLIPS.search(part):
            return  # somebody's turn, but whose is not understood
        part = _FROM_SIDE.sub("", part)
        stated = _stated_sides(part)
        if not stated:
            return
        self.last_side = stated[-1]
        if self.last_side not in possible:
            yield wrong_step(shorten(name + part), f"the coin is {sides[self.turns_read]} up then")

    def _turn_index(self, name: str) -> int:
        names = [turn.name for turn in self.coin.turns]
        return names.index(name)


def _turn_faults(turn: Turn, part: str) -> Iterator[StepFault]:
    stays = _STAYS.search(part) is not None
    flips = _FLIPS.search(part) is not None
    if (stays or flips) and stays == turn.flips:
        deed = "flips" if turn.flips else "does not flip"
        yield wrong_step(shorten(turn.name + part), f"{turn.name} {deed} the coin")


def _count_faults(sentence: str, flips: int) -> Iterator[StepFault]:
    """Yield the fault of a wrong count ("flipped three times", "an odd number of times")."""
    count = _COUNT.search(sentence)
    if not count:
        return
    if count[1]:
        is_right = (flips % 2 == 1) == (count[1].lower() == "odd")
    else:
        is_right = _TIMES.get(count[2].lower()) in (None, flips)
    if not is_right:
        yield wrong_step(count[0], f"the coin is flipped {flips} times")


def _stated_sides(part: str) -> list[str]:
    """Return the sides that are said to be up, in order; "not heads up" and "heads down" are tails."""
    sides = []
    for match in _SIDE.finditer(part):
        side = match[2].lower()
        is_negated = bool(match[1]) != bool(match[3])
        sides.append(_other(side) if is_negated else side)
    return sides


def _other(side: str) -> str:
    return "tails" if side == "heads" else "heads"

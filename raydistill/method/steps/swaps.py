"""Replay of a question about shuffled objects: who swaps with whom, and who holds what then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.method.steps.fault import StepFault, wrong_step
from raydistill.method.steps.wording import CONCLUDES, any_of, sentences, shorten

_SWAP = re.compile(r"(?<!\w)(\w+) and (\w+) (?:\w+ )?(?:swap|trade|switch|exchange)\w*", re.IGNORECASE)
_SWAP_WORD = re.compile(r"\b(?:swap|trad|switch|exchang)\w*", re.IGNORECASE)
_HOLDS = r"(?:has|gets|holds|owns|is (?:now |still |again |currently )?\w+ing(?: with)?|ends up (?:\w+ )?with|receives)"
_BEGINNING = re.compile(r"\b(?:start|begin|beginning|begins|initial|initially|originally)\b", re.IGNORECASE)
_NOT_A_STEP = re.compile(r"\b(?:if|would|before|who|which choice)\b|\?", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|an?) ")

State = dict[str, str]
"""What each person holds."""


class SwapQuestion(NamedTuple):
    """A question about swapped objects, worked out."""

    swaps: list[tuple[str, str]]
    states: list[State]
    """At first and after each swap."""
    claim: re.Pattern[str]
    """A statement that a person (group 1) holds a thing (group 2)."""


def parse(question: str, choices: Sequence[str]) -> SwapQuestion | None:
    """Return a question about swapped objects worked out; None if it is none."""
    matches = list(_SWAP.finditer(question))
    if not matches or len(choices) < 2:
        return None
    swaps = [(match[1], match[2]) for match in matches]
    names = {name for pair in swaps for name in pair}
    things = [_without_article(choice) for choice in choices]
    claim = _claim_pattern(sorted(names), things)
    beginning = question[: matches[0].start()]
    state = {match[1]: _without_article(match[2]) for match in claim.finditer(beginning)}
    if len(state) < 2 or not names <= state.keys():
        return None
    states = [state]
    for a, b in swaps:
        state = state | {a: state[b], b: state[a]}
        states.append(state)
    return SwapQuestion(swaps, states, claim)


def faults(text: str, question: SwapQuestion) -> Iterator[StepFault]:
    """Yield what a rationale says against its question, in order."""
    reading = _Reading(question)
    for sentence in sentences(text):
        yield from reading.faults(sentence)


@dataclass
class _Reading:
    """How far the reading of a rationale has come."""

    question: SwapQuestion
    swaps_read: int = 0
    is_certain: bool = True
    """False after a swap that was not understood: any state is possible then."""

    def faults(self, sentence: str) -> Iterator[StepFault]:
        """Yield the faults of the next sentence."""
        mentions_swap = _SWAP_WORD.search(sentence) is not None
        if _NOT_A_STEP.search(sentence):
            self.is_certain = self.is_certain and not mentions_swap
            return
        people = self.question.states[0].keys()
        swaps = [match for match in _SWAP.finditer(sentence) if {match[1], match[2]} <= people]
        if mentions_swap and not swaps:
            self.is_certain = False  # a swap in other words: which one is not known
        statements = [*swaps, *self.question.claim.finditer(sentence)]
        statements.sort(key=lambda match: match.start())
        for match in statements:
            if match.re is _SWAP:
                yield from self._swap_faults(match)
            else:
                yield from self._claim_faults(match, sentence, has_swaps=bool(swaps))

    def _swap_faults(self, match: re.Match[str]) -> Iterator[StepFault]:
        """Yield a fault if the question has no such swap; else go on to it."""
        pair = {match[1], match[2]}
        places = [i for i, swap in enumerate(self.question.swaps) if set(swap) == pair]
        if not places:
            yield wrong_step(shorten(match[0]), f"the question has no swap of {match[1]} and {match[2]}")
            return
        # The next such swap; behind the last one, the tale begins anew.
        ahead = [i for i in places if i >= self.swaps_read]
        place = ahead[0] if ahead else places[0]
        self.swaps_read = place + 1

    def _claim_faults(self, match: re.Match[str], sentence: str, *, has_swaps: bool) -> Iterator[StepFault]:
        """Yield a fault if the person does not hold the thing in any state that the sentence may be about."""
        name = match[1]
        thing = _without_article(match[2])
        possible = self._possible_states(sentence, has_swaps)
        if all(state.get(name, thing) != thing for state in possible):
            yield wrong_step(shorten(match[0]), f"{name} has {possible[0][name]} then")

    def _possible_states(self, sentence: str, has_swaps: bool) -> list[State]:
        states = self.question.states
        if not self.is_certain:
            return states
        is_about_beginning = _BEGINNING.search(sentence) is not None and not has_swaps
        possible = [states[0] if is_about_beginning else states[self.swaps_read]]
        if CONCLUDES.search(sentence) and not has_swaps:
            possible.append(states[-1])
        return possible


def _claim_pattern(names: Sequence[str], things: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern for `name has the thing`, with words such as "now" and "still" between."""
    return re.compile(
        rf"({any_of(names)})(?: (?:now|then|still|also|again|currently|therefore))? {_HOLDS}"
        rf"(?: (?:now|left with))? (?:the |an? )?({any_of(things)})",
        re.IGNORECASE,
    )


def _without_article(thing: str) -> str:
    return _ARTICLE.sub("", thing.strip().lower())

"""Replies to answer calls: the answer that the prompt's rationale leads to, in one of the shapes that teachers use."""

from __future__ import annotations

import re
from random import Random

from raydistill.config import SimulatedSettings
from raydistill.simulated.parsed_prompt import ParsedPrompt
from raydistill.simulated.puzzles import AnyPuzzle, Intent
from raydistill.simulated.puzzles.base import choose

CONTRADICTION_FRACTION = 0.02  # of answer calls: the answer is not the one that the rationale leads to
SENTENCE_ENDS = '.!?"”)'

_LETTER = re.compile(r"\(([A-Z])\)")
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+")


def write(prompt: ParsedPrompt, puzzle: AnyPuzzle, settings: SimulatedSettings, rng: Random, gold: str | None) -> str:
    """Write the answer that a prompt asks for: after a rationale, or directly."""
    answer = conclusion(puzzle, prompt.rationale) if prompt.call == "answer" else None
    if answer is None or rng.random() < CONTRADICTION_FRACTION:
        right = rng.random() < settings.zero_shot_accuracy
        answer = puzzle.attempt(Intent(right, gold=gold), rng).answer
    return choose(puzzle.answer_wordings(answer), rng)


def conclusion(puzzle: AnyPuzzle, rationale: str) -> str | None:
    """Return the answer that a rationale leads to; None if it was cut before it got there."""
    text = rationale.split("\nQ:")[0].strip()
    if not text or text[-1] not in SENTENCE_ENDS:
        return None
    last_sentence = _SENTENCE_BREAK.split(text)[-1]
    letters = _LETTER.findall(last_sentence)
    if puzzle.choices and letters:
        return letters[-1]
    return puzzle.conclusion(last_sentence)

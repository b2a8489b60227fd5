"""Rationales, with and without an answer sentence, after exemplars or zero-shot."""

from __future__ import annotations

import re
from random import Random

from raydistill.config import SimulatedSettings
from raydistill.simulated.parsed_prompt import ParsedPrompt
from raydistill.simulated.puzzles import AnyPuzzle, Intent

TONES = 8  # manners of writing of one exemplar block
LATE_START_FRACTION = 0.1  # of zero-shot rationales: they begin with an empty line
ANSWER_LEADS = ("Therefore, the answer is", "So the answer is", "The answer is")

_ANSWER_IN_BRACKETS = re.compile(r"[Tt]he answer is \(")


def write(prompt: ParsedPrompt, puzzle: AnyPuzzle, settings: SimulatedSettings, rng: Random, gold: str | None) -> str:
    """Write the rationale that a prompt asks for, as often right and lucky as set."""
    is_few_shot = bool(prompt.exemplars)
    accuracy = settings.zero_shot_accuracy
    if is_few_shot:
        accuracy = settings.few_shot_accuracy
    right = rng.random() < accuracy
    lucky = rng.random() < settings.lucky_fraction
    intent = Intent(right, lucky, same_mistake=settings.lucky_habit, gold=gold)
    working = puzzle.attempt(intent, rng)
    sure = gold is not None
    if is_few_shot:
        text = puzzle.rationale(working, _tone(prompt.exemplars, rng), sure=sure)
        return _after_exemplars(text, working.answer, prompt.exemplars, puzzle, settings, rng)
    text = puzzle.rationale(working, rng, sure=sure)
    return _zero_shot(text, working.answer, puzzle, rng)


def _tone(exemplars: str, rng: Random) -> Random:
    """Exemplars set the tone: rationales after one exemplar block share a few manners of writing."""
    return Random(f"{rng.randrange(TONES)}\0{exemplars}")


def _after_exemplars(
    text: str, answer: str, exemplars: str, puzzle: AnyPuzzle, settings: SimulatedSettings, rng: Random
) -> str:
    text = " " + text.replace("\n", " ")  # one line, as exemplars are
    if rng.random() < settings.missing_answer_fraction:
        return text
    if not _ANSWER_IN_BRACKETS.search(exemplars):
        return f"{text} The answer is {answer}."
    return f"{text} The answer is {_in_brackets(answer, puzzle)}."


def _zero_shot(text: str, answer: str, puzzle: AnyPuzzle, rng: Random) -> str:
    states_answer = rng.random() < puzzle.zero_shot_answer_fraction
    if states_answer:
        text += f" {rng.choice(ANSWER_LEADS)} {_in_brackets(answer, puzzle)}."
    starts_late = rng.random() < LATE_START_FRACTION
    if starts_late:
        return "\n\n" + text.lstrip()
    return " " + text


def _in_brackets(answer: str, puzzle: AnyPuzzle) -> str:
    """Put a letter in brackets; other answers stay as they are."""
    return f"({answer})" if puzzle.choices else answer

"""Running on: an invented next question with its answer, as completion models write if nothing stops them."""

from __future__ import annotations

from random import Random

from raydistill.simulated.puzzles import AnyPuzzle, Intent, coin_flip, recognise

NAMES = "Avery Blake Casey Devon Elliot Frankie Gray Harper Indigo Jules Kendall Logan Morgan Nico Parker Quinn".split()


def next_question(puzzle: AnyPuzzle, rng: Random) -> str:
    """Write a question like `puzzle`, or a coin flip, and its whole answer."""
    names = rng.sample(NAMES, 3)
    question = puzzle.similar_question(names) or coin_flip.invent(names, rng)
    invented = recognise(question)
    working = invented.attempt(Intent(right=True), rng)
    rationale = invented.rationale(working, rng, sure=True)
    return f"\n\nQ: {question}\nA: Let's think step by step. {rationale} The answer is {working.answer}."

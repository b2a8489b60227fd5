"""The first fault of a rationale, whatever its question is about."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction

from raydistill.method import answers
from raydistill.method.equations import Equation, equations, numbers
from raydistill.method.steps import coin_flips, last_letters, swaps
from raydistill.method.steps.fault import StepFault

LONGEST = 8_000
"""Characters of a rationale that are read; a longer one goes unchecked behind them."""

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")


def check(
    rationale: str, *, question: str, prediction: str | None, answer_type: str, choices: Sequence[str] = ()
) -> StepFault | None:
    """Return the first step of `rationale` that does not hold; None if none is found.

    Args:
        rationale: the teacher's completion; what follows an invented next "Q:" does not count.
        question: the question, which coin flips, last letters and swaps are replayed from.
        prediction: the teacher's answer, canonical; None if it gave none.
        answer_type: a name of `ANSWER_TYPES`.
        choices: option texts of a letter question.
    """
    text = unicodedata.normalize("NFC", rationale.split("\nQ:")[0][:LONGEST])
    for fault in _replay(text, question, prediction, choices):
        return fault
    stated = list(equations(text))
    for equation in stated:
        if equation.holds is False:
            return StepFault("step", equation.text)
    if prediction is None:
        return None
    concluded = answers.find_in_rationale(text, answer_type=answer_type, choices=choices)
    if concluded and not answers.is_correct(concluded.answer, prediction, answer_type=answer_type):
        return StepFault("contradiction", f"says {concluded.answer}, answers {prediction}")
    if _stops_before_answer(text, stated, prediction, answer_type):
        return StepFault("unreached", f"{prediction} is not in the rationale")
    return None


def _replay(text: str, question: str, prediction: str | None, choices: Sequence[str]) -> Iterator[StepFault]:
    """Yield the faults against a question that can be replayed."""
    coin_question = coin_flips.parse(question)
    if coin_question:
        yield from coin_flips.faults(text, coin_question, prediction)
        return
    words = last_letters.parse(question)
    if words:
        yield from last_letters.faults(text, words, prediction)
        return
    swap_question = swaps.parse(question, choices)
    if swap_question:
        yield from swaps.faults(text, swap_question)


def _stops_before_answer(text: str, stated: Sequence[Equation], prediction: str, answer_type: str) -> bool:
    """Return True if a text with equations does not mention the number that it answers."""
    return answer_type == "number" and bool(stated) and not _mentions(text, prediction)


def _mentions(text: str, prediction: str) -> bool:
    """Return True if the number stands in `text`: in digits (as a percentage or without its sign too) or in words."""
    try:
        expected = abs(Fraction(prediction))
    except (ValueError, ZeroDivisionError):
        return True
    stated = numbers(text)
    if stated & {expected, expected * 100, expected / 100}:
        return True
    if any(abs(number - expected) < Fraction(1, 100) for number in stated):
        return True
    for word in _WORD.findall(text.lower()):
        number = answers.extract(word, answer_type="number")
        if number is not None and abs(Fraction(number)) == expected:
            return True
    return False

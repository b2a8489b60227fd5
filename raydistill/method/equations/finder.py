"""Find equations in prose, whole: an expression whose neighbours belong to it is left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from raydistill.method.equations.equality import MEASURES, equal, unit
from raydistill.method.equations.expressions import SCALES, first_expression, last_expression
from raydistill.method.equations.tokens import Token, mixed_number_at, plain, tokens

LONGEST_SIDE = 60
"""Tokens of one side of an equation that are looked at."""

_LINE_BREAK = re.compile(r"\n+|(?<=[^\d\s])[.;!?](?:\s|$)|(?<=\d)[.;!?](?:\s|$)")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s+|\(?\d{1,2}[.):]\s+)")
_SPACE_TO_DROP = re.compile(r"([$€£(]) | (?=\))")

# A word before an expression that belongs to it: "half of 5 + 3", "9 mod 4 + 1".
_LEADS_ON = {
    *"of half twice double triple third quarter than by from to per remainder".split(),
    *"mod modulo div squared cubed power root sqrt log choose".split(),
}
# A word behind an expression that belongs to it: "8 times as many".
_GOES_ON = {"of", "greater", "times", "remainder", "with", "out"}
_GOES_ON_AFTER_IS = _GOES_ON | {"more", "less", "fewer", "and"}


class Equation(NamedTuple):
    """An equation of a text."""

    text: str
    """As written, white space made single."""
    holds: bool | None
    """None: it cannot be told."""


def equations(text: str) -> Iterator[Equation]:
    """Yield the equations of `text`; "5 + 3 = 8 = 9" has two. Any text will do; the time is linear in its length."""
    for line in _LINE_BREAK.split(plain(text)):
        yield from _equations_of_line(tokens(_LIST_MARK.sub("", line)))


def _equations_of_line(line: list[Token]) -> Iterator[Equation]:
    signs = [i for i, token in enumerate(line) if token.kind in ("equals", "is")]
    previous_signs = [-1, *signs]
    next_signs = [*signs[1:], len(line)]
    for before, sign, after in zip(previous_signs, signs, next_signs, strict=False):
        left = line[max(before + 1, sign - LONGEST_SIDE) : sign]
        right = line[sign + 1 : min(after, sign + 1 + LONGEST_SIDE)]
        equation = _equation(left, line[sign], right, has_sign_before=before >= 0)
        if equation:
            yield equation


def _equation(left: list[Token], sign: Token, right: list[Token], *, has_sign_before: bool) -> Equation | None:
    """Return the equation around one sign; None if nothing is calculated, or not all of it is understood."""
    first = last_expression(left)
    second = first_expression(right)
    if first is None or second is None:
        return None
    is_word = sign.kind == "is"
    # A lone number on the left is only a side if it is all that stands between two signs.
    is_middle = has_sign_before and first.start == 0 and not is_word
    if not first.value.operators and not is_middle:
        return None
    if is_word and second.value.operators:
        return None
    if first.start and _belongs_to_next(left, first.start, is_word):
        return None
    if second.end < len(right) and not _ends_before(right, second.end, is_word):
        return None
    shown = [*left[first.start :], sign, *right[: second.end]]
    text = " ".join(token.text for token in shown)
    approximate = "≈" in sign.text or (is_word and len(sign.text.split()) > 1)
    return Equation(_SPACE_TO_DROP.sub(r"\1", text), equal(first.value, second.value, approximate=approximate))


def _belongs_to_next(line: list[Token], i: int, is_word: bool) -> bool:
    """Return True if the token before the expression at `i` belongs to it, so that it was not read whole."""
    before = line[i - 1]
    first = line[i]
    word = before.text.lower()
    if before.kind != "word":
        return before.kind in ("op", "number", "other") and word not in ",:→"
    if first.kind == "op" or (first.kind == "open" and first.start == before.end):  # "x - 5 - 7", "sqrt(16) + 2"
        return True
    if word == "and":  # "the sum of 5 and 3 + 2 is", "2 and 1/8 laps ="
        return is_word or mixed_number_at(line, i - 1)
    return word in _LEADS_ON or unit(word) in MEASURES  # "9 mod 4 + 1", "2 hours 30 minutes + 45 minutes"


def _ends_before(line: list[Token], i: int, is_word: bool) -> bool:
    """Return True if the expression before token `i` ends there ("8, so", "8 - that is"); False if it goes on."""
    after = line[i]
    if after.kind == "op":
        return after.text == "-" and i + 1 < len(line) and line[i + 1].kind == "word"
    if after.kind in ("number", "other"):
        is_punctuation = after.text in ".,;:!?)]\"'”’*_`"
        is_sign = after.kind == "other" and not after.text[0].isalnum() and after.text != "^"
        return is_punctuation or is_sign
    word = after.text.lower()
    if word == "of" and line[i - 1].kind == "word":
        return True  # "27 pounds of soil"
    is_variable = len(word) == 1 and word not in "a¢$€£"
    if word in SCALES or is_variable:  # "1 dozen", "12 + 2x"
        return False
    if word == "and" and mixed_number_at(line, i):  # "3 and 1/4 laps"
        return False
    return word not in (_GOES_ON_AFTER_IS if is_word else _GOES_ON)

"""Arithmetic expressions over tokens, worked out in exact fractions by recursive descent.

sum     = product (("+" | "-") product)*
product = operand (("*" | "/") operand)*
operand = "-"? "$"? (number | "(" sum ")") unit*
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from raydistill.method.equations.tokens import Kind, Token

SCALES = {
    *"hundred thousand million billion dozen dozens score half halves thirds percent".split(),
    *"ones tens hundreds thousands millions tenths hundredths".split(),
}
"""Words that change the number before them: an expression with one is not understood."""

_NO_UNIT = SCALES | {"of", "and", "then", "so", "than", "more", "less", "fewer", "times", "which", "that", "or", "if"}
_SHORT_UNITS = "gmlhs¢"
_CURRENCIES = "$€£"
_LEADING_WORDS = ("a", "an", "total", "of", "just", "only")


class Readings(NamedTuple):
    """The two ways to read a number with a percent sign; equal for all others."""

    percent: Fraction
    """20% as 0.2."""
    literal: Fraction
    """20% as 20."""


class Value(NamedTuple):
    """A side of an equation, worked out."""

    readings: Readings
    literal_decimals: int | None
    """Decimals of a side that is one number; None for an expression."""
    rounded: bool
    """Multiplies or divides by a number of two or more decimals, which may be a rounded one."""
    last_places: Fraction
    """Sum of the last places of its numbers with three or more decimals: 0.333 + 0.333 is 0.667 as well."""
    units: frozenset[str]
    operators: int
    divides: bool


class Span(NamedTuple):
    """An expression within a sequence of tokens."""

    value: Value
    start: int
    end: int


def first_expression(tokens: Sequence[Token]) -> Span | None:
    """Return the longest expression that `tokens` begin with, "a total of" and the like left out."""
    start = 0
    while start < len(tokens) and tokens[start].text.lower() in _LEADING_WORDS:
        start += 1  # "5 + 3 = a total of 8"
    return _expression_at(tokens, start)


def last_expression(tokens: Sequence[Token]) -> Span | None:
    """Return the longest expression that `tokens` end with."""
    for start, token in enumerate(tokens):
        if token.kind in ("number", "open", "op") or token.text in _CURRENCIES:
            span = _expression_at(tokens, start)
            if span and span.end == len(tokens):
                return span
    return None


def _expression_at(tokens: Sequence[Token], start: int) -> Span | None:
    reader = _Reader(tokens[start:])
    try:
        value = reader.value(reader.sum())
    except _NotUnderstood:
        return None
    return Span(value, start, start + reader.position)


class _NotUnderstood(Exception):
    """The tokens are no expression that the reader knows."""


class _Reader:
    """Reads one expression from the start of `tokens`, and notes how exact its numbers are."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.units: set[str] = set()
        self.operators = 0
        self.has_decimals = False
        self.scales = False
        self.divides = False
        self.decimals: int | None = None
        self.last_places = Fraction(0)

    def peek(self, kind: Kind, texts: str = "") -> bool:
        """Return True if the next token is of this kind and one of `texts` ("": any)."""
        if self.position >= len(self.tokens):
            return False
        token = self.tokens[self.position]
        return token.kind == kind and (not texts or token.text in texts)

    def next(self) -> Token:
        """Return the next token and go on behind it."""
        self.position += 1
        return self.tokens[self.position - 1]

    def sum(self) -> Readings:
        total = self.product()
        while self.peek("op", "+-") and self.operand_follows():
            sign = 1 if self.next().text == "+" else -1
            self.operators += 1
            term = self.product()
            total = Readings(total.percent + sign * term.percent, total.literal + sign * term.literal)
        return total

    def product(self) -> Readings:
        result = self.operand()
        while self.peek("op", "*/") and self.operand_follows():
            self.scales = True
            self.operators += 1
            if self.next().text == "*":
                factor = self.operand()
                result = Readings(result.percent * factor.percent, result.literal * factor.literal)
                continue
            self.divides = True
            divisor = self.operand()
            if not all(divisor):
                raise _NotUnderstood
            result = Readings(result.percent / divisor.percent, result.literal / divisor.literal)
        return result

    def operand_follows(self) -> bool:
        """Return True if an operand stands behind the operator."""
        following = self.tokens[self.position + 1 : self.position + 3]
        if not following:
            return False
        first = following[0]
        is_negative_number = first.text == "-" and len(following) > 1 and following[1].kind == "number"
        return first.kind in ("number", "open") or first.text in _CURRENCIES or is_negative_number

    def operand(self) -> Readings:
        sign = 1
        if self.peek("op", "-"):
            self.next()
            sign = -1
        if self.peek("word", _CURRENCIES):
            self.units.add(self.next().text)
        if self.peek("open"):
            value = self.bracket()
        elif self.peek("number"):
            value = self.number(self.next().text)
        else:
            raise _NotUnderstood
        self.read_units()
        return Readings(sign * value.percent, sign * value.literal)

    def bracket(self) -> Readings:
        self.next()
        value = self.sum()
        if not self.peek("close"):
            raise _NotUnderstood
        self.next()
        self.decimals = None
        return value

    def number(self, text: str) -> Readings:
        digits = text.rstrip("%")
        self.decimals = len(digits.partition(".")[2])
        self.has_decimals = self.has_decimals or self.decimals >= 2
        if self.decimals >= 3:
            self.last_places += Fraction(1, 10**self.decimals)
        literal = Fraction(digits)
        return Readings(literal / 100 if text.endswith("%") else literal, literal)

    def read_units(self) -> None:
        """Note the words behind an operand ("5 red apples")."""
        while self.peek("word"):
            word = self.tokens[self.position].text.lower()
            is_variable = len(word) == 1 and word not in _SHORT_UNITS
            if word in _NO_UNIT or is_variable:
                return
            self.units.add(word)
            self.next()

    def value(self, readings: Readings) -> Value:
        """Return what was read, worked out."""
        return Value(
            readings=readings,
            literal_decimals=None if self.operators else self.decimals,
            rounded=self.has_decimals and self.scales,
            last_places=self.last_places,
            units=frozenset(self.units),
            operators=self.operators,
            divides=self.divides,
        )

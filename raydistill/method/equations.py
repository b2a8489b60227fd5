"""Find the equations that a text spells out ("5 apples + 3 apples = 8 apples") and work each one out.

Nothing is evaluated but what this parser reads, in exact fractions. What it does not fully understand (variables,
"20% of", dates, mixed units) is left unjudged: a right step must not be called wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

LONGEST_SIDE = 60
"""Tokens of one side of an equation that are looked at."""


class Equation(NamedTuple):
    text: str
    """As written, white space made single."""
    holds: bool | None
    """None: not judged."""


class _Token(NamedTuple):
    kind: str  # number | op | open | close | equals | is | word | other
    text: str
    start: int
    end: int


class _Value(NamedTuple):
    """A side of an equation, worked out twice: percentages as hundredths, and as plain numbers."""

    readings: tuple[Fraction, Fraction]
    literal_decimals: int | None
    """Decimals of a side that is one number; None for an expression."""
    rounded: bool
    """Multiplies or divides by a number of two or more decimals, which may be a rounded one."""
    last_places: Fraction
    """Sum of the last places of its numbers with three or more decimals: 0.333 + 0.333 is 0.667 as well."""
    units: frozenset[str]
    operators: int
    divides: bool


def equations(text: str) -> Iterator[Equation]:
    """Each equation of `text` in turn; "5 + 3 = 8 = 9" has two. Any text will do; the time is linear in its length."""
    for line in re.split(r"\n+|(?<=[^\d\s])[.;!?](?:\s|$)|(?<=\d)[.;!?](?:\s|$)", _plain(text)):
        tokens = _tokens(re.sub(r"^\s*(?:[-*•]\s+|\(?\d{1,2}[.):]\s+)", "", line))
        marks = [i for i, t in enumerate(tokens) if t.kind in ("equals", "is")]
        for before, mark, after in zip([-1, *marks], marks, [*marks[1:], len(tokens)], strict=False):
            left = tokens[max(before + 1, mark - LONGEST_SIDE) : mark]
            right = tokens[mark + 1 : min(after, mark + 1 + LONGEST_SIDE)]
            found = _judge(left, tokens[mark], right, whole_left=before >= 0)
            if found:
                yield found


def numbers(text: str) -> set[Fraction]:
    """The numbers that stand in `text`, digits only."""
    return {Fraction(t.text.rstrip("%")) for t in _tokens(_plain(text)) if t.kind == "number"}


# --- reading ---------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"(?P<other>\d+/\d+/\d+|\d+:\d+|\d+(?:st|nd|rd|th)\b|\d[\d.,]*(?:[^\W\d_]+\d\w*)|\d{16,}"
    r"|(?:step|day|week|year|part|case|option|question|number|no\.|#)\s*\d+\b)"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?%?|\.\d+%?)"
    r"|(?P<equals>=|\b(?:is|are) equal to\b|\bequals?\b)"
    r"|(?P<is>≈|\bis (?:about|approximately|roughly)\b|\b(?:is|are|makes|gives|leaves)\b)"
    r"|(?P<op>[-+*/]|\b(?:plus|minus|times|(?:multiplied|divided) by)\b|\b[xX]\b(?=\s*[$(\d.]))"
    r"|(?P<open>\()|(?P<close>\))"
    r"|(?P<word>\$|€|£|¢|[^\W\d_]+(?:['’-][^\W\d_]+)*)"
    r"|(?P<rest>\S)",
    re.IGNORECASE,
)
_OPERATORS = {"plus": "+", "minus": "-", "times": "*", "x": "*", "multiplied by": "*", "divided by": "/"}
_TYPOGRAPHY = {
    r"\\(?:times|cdot)": "*", r"\\div": "/", r"\\([$%])": r"\1",
    r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}": r"(\1)/(\2)",
    r"[×·∗]": "*", r"÷": "/", r"[−–—]": "-", r"(?<=[\w)])(\s?)\*\*\1(?=[\d(])": "^", r"\*\*": "",
    r"\\[()\[\]]": "", r"<<[^<>]*>>": "",
}  # fmt: skip


def _plain(text: str) -> str:
    for pattern, plain in _TYPOGRAPHY.items():
        text = re.sub(pattern, plain, text)
    return text


def _tokens(line: str) -> list[_Token]:
    tokens: list[_Token] = []
    for match in _TOKEN.finditer(line):
        kind, text = match.lastgroup or "rest", match[0]
        if kind == "number":
            text = text.replace(",", "")
        elif kind == "op":
            text = _OPERATORS.get(" ".join(text.lower().split()), text)
        tokens.append(_Token("other" if kind == "rest" else kind, text, match.start(), match.end()))
    return tokens


def _judge(left: Sequence[_Token], mark: _Token, right: Sequence[_Token], *, whole_left: bool) -> Equation | None:
    """The equation around one mark; None where there is none (nothing is calculated on the left)."""
    found_left = _suffix(left)
    found_right = _prefix(right)
    if found_left is None or found_right is None:
        return None
    (a, first), (b, last) = found_left, found_right
    soft = mark.kind == "is"
    # A lone number on the left is only a side where it is all that stands between two marks.
    if (not a.operators and not (whole_left and first == 0 and not soft)) or (soft and b.operators):
        return None
    if (first and _ties(left, first, soft)) or (last < len(right) and not _may_follow(right, last, soft)):
        return None
    shown = " ".join(t.text for t in [*left[first:], mark, *right[:last]])
    return Equation(_tidy(shown), _equal(a, b, about="≈" in mark.text or (len(mark.text.split()) > 1 and soft)))


_LEADS_ON = {
    *"of half twice double triple third quarter than by from to per remainder".split(),
    *"mod modulo div squared cubed power root sqrt log choose".split(),
}


def _ties(tokens: Sequence[_Token], i: int, soft: bool) -> bool:
    """True where the token before the expression at `i` belongs to it, so that the expression was not read whole."""
    before, first = tokens[i - 1], tokens[i]
    word = before.text.lower()
    if before.kind != "word":
        return before.kind in ("op", "number", "other") and word not in ",:→"
    if first.kind == "op" or (first.kind == "open" and first.start == before.end):  # "x - 5 - 7", "sqrt(16) + 2"
        return True
    if word == "and":  # "the sum of 5 and 3 + 2 is", "2 and 1/8 laps ="
        return soft or _mixed(tokens, i - 1)
    return word in _LEADS_ON or _unit(word) in _MEASURES  # "9 mod 4 + 1", "2 hours 30 minutes + 45 minutes"


def _mixed(tokens: Sequence[_Token], i: int) -> bool:
    """True where the "and" at `i` joins a whole number and a proper fraction ("2 and 1/8")."""
    around = [*tokens[max(0, i - 1) : i], *tokens[i + 1 : i + 4]]
    if [t.kind for t in around] != ["number", "number", "op", "number"] or around[2].text != "/":
        return False
    whole, top, _, bottom = (t.text for t in around)
    return whole.isdecimal() and top.isdecimal() and bottom.isdecimal() and int(top) < int(bottom)


def _may_follow(tokens: Sequence[_Token], i: int, soft: bool) -> bool:
    """True where the expression before token `i` ends there ("8, so", "8 - that is"), rather than goes on unread."""
    after = tokens[i]
    if after.kind == "op":
        return after.text == "-" and i + 1 < len(tokens) and tokens[i + 1].kind == "word"
    if after.kind in ("number", "other"):
        return after.text in ".,;:!?)]\"'”’*_`" or (
            after.kind == "other" and not after.text[0].isalnum() and after.text != "^"
        )
    if after.text.lower() == "of" and tokens[i - 1].kind == "word":
        return True  # "27 pounds of soil"
    word = after.text.lower()
    if word in _SCALES or (len(word) == 1 and word not in "a¢$€£"):  # "1 dozen", "12 + 2x"
        return False
    if word == "and" and _mixed(tokens, i):  # "3 and 1/4 laps"
        return False
    more = {"of", "greater", "times", "remainder", "with", "out"}
    return word not in (more | {"more", "less", "fewer", "and"} if soft else more)


# An expression: operand (operator operand)*; an operand may have units behind it ("5 red apples").
_SCALES = {
    *"hundred thousand million billion dozen dozens score half halves thirds percent".split(),
    *"ones tens hundreds thousands millions tenths hundredths".split(),
}
_NO_UNIT = _SCALES | {"of", "and", "then", "so", "than", "more", "less", "fewer", "times", "which", "that", "or", "if"}


class _Unread(Exception):
    pass


class _Reader:
    """Recursive descent over tokens; raises _Unread where they are no expression it knows."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens, self.i = tokens, 0
        self.units: set[str] = set()
        self.operators = 0
        self.rounded = self.scaled = self.divides = False
        self.decimals: int | None = None
        self.last_places = Fraction(0)

    def peek(self, kind: str, texts: str = "") -> bool:
        return (
            self.i < len(self.tokens)
            and self.tokens[self.i].kind == kind
            and (not texts or self.tokens[self.i].text in texts)
        )

    def sum(self) -> list[Fraction]:
        value = self.product()
        while self.peek("op", "+-") and self.goes_on():
            sign = 1 if self.next().text == "+" else -1
            self.operators += 1
            value = [a + sign * b for a, b in zip(value, self.product(), strict=True)]
        return value

    def product(self) -> list[Fraction]:
        value = self.operand()
        while self.peek("op", "*/") and self.goes_on():
            self.scaled = True
            self.operators += 1
            if self.next().text == "*":
                value = [a * b for a, b in zip(value, self.operand(), strict=True)]
                continue
            self.divides = True
            by = self.operand()
            if not all(by):
                raise _Unread
            value = [a / b for a, b in zip(value, by, strict=True)]
        return value

    def goes_on(self) -> bool:
        """An operand stands behind the operator."""
        after = self.tokens[self.i + 1 : self.i + 3]
        return bool(after) and (
            after[0].kind in ("number", "open")
            or after[0].text in "$€£"
            or (after[0].text == "-" and len(after) > 1 and after[1].kind == "number")
        )

    def operand(self) -> list[Fraction]:
        sign = 1
        if self.peek("op", "-"):
            self.i += 1
            sign = -1
        if self.peek("word", "$€£"):
            self.units.add(self.next().text)
        if self.peek("open"):
            self.i += 1
            value = self.sum()
            if not self.peek("close"):
                raise _Unread
            self.i += 1
            self.decimals = None
        elif self.peek("number"):
            value = self.number(self.next().text)
        else:
            raise _Unread
        while self.peek("word"):
            word = self.tokens[self.i].text.lower()
            if word in _NO_UNIT or (len(word) == 1 and word not in "gmlhs¢"):
                break
            self.units.add(word)
            self.i += 1
        return [sign * v for v in value]

    def number(self, text: str) -> list[Fraction]:
        self.decimals = len(text.rstrip("%").partition(".")[2])
        self.rounded = self.rounded or self.decimals >= 2
        if self.decimals >= 3:
            self.last_places += Fraction(1, 10**self.decimals)
        plain = Fraction(text.rstrip("%"))
        return [plain / 100 if text.endswith("%") else plain, plain]

    def next(self) -> _Token:
        self.i += 1
        return self.tokens[self.i - 1]

    def value(self, readings: list[Fraction]) -> _Value:
        literal = self.decimals if not self.operators else None
        rounded = self.rounded and self.scaled
        return _Value(
            readings=(readings[0], readings[1]),
            literal_decimals=literal,
            rounded=rounded,
            last_places=self.last_places,
            units=frozenset(self.units),
            operators=self.operators,
            divides=self.divides,
        )


def _read(tokens: Sequence[_Token]) -> tuple[_Value, int] | None:
    """The longest expression that `tokens` begin with, and its length in tokens."""
    reader = _Reader(tokens)
    try:
        return reader.value(reader.sum()), reader.i
    except _Unread:
        return None


def _prefix(tokens: Sequence[_Token]) -> tuple[_Value, int] | None:
    skip = 0
    while skip < len(tokens) and tokens[skip].text.lower() in ("a", "an", "total", "of", "just", "only"):
        skip += 1  # "5 + 3 = a total of 8"
    found = _read(tokens[skip:])
    return found and (found[0], found[1] + skip)


def _suffix(tokens: Sequence[_Token]) -> tuple[_Value, int] | None:
    """The longest expression that `tokens` end with, and where it begins."""
    for start, token in enumerate(tokens):
        if token.kind in ("number", "open", "op") or token.text in "$€£":
            found = _read(tokens[start:])
            if found and found[1] == len(tokens) - start:
                return found[0], start
    return None


# --- judging ---------------------------------------------------------------------------------------------------------

_MEASURES = {
    *"second minute hour day week fortnight month year decade century cent penny nickel dime quarter dollar".split(),
    *"euro pound inch foot yard mile millimeter centimeter meter kilometer mm cm m km g gram kg kilogram oz".split(),
    *"ounce lb ton ml liter litre l gallon quart pint cup pair".split(),
}
_SINGULAR = {
    **{"$": "dollar", "€": "euro", "£": "pound", "¢": "cent", "pennies": "penny", "centuries": "century"},
    **{"feet": "foot", "ft": "foot", "inches": "inch", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute"},
    **{"sec": "second", "secs": "second", "lbs": "lb"},
}


def _unit(word: str) -> str:
    return _SINGULAR.get(word) or (word if word in _MEASURES else word.rstrip("s"))


def _equal(a: _Value, b: _Value, about: bool) -> bool | None:
    if any(_close(x, y, a, b, about) for x, y in product(a.readings, b.readings)):
        return True
    units = {_unit(u) for u in a.units | b.units}
    # "2 hours - 30 minutes = 90 minutes": right, but not as plain numbers. "in" is no unit in "8 in all".
    mixed = len(units & _MEASURES) > 1 or {"foot", "in"} <= units or units & {"am", "pm"}
    dates = units & {"day", "week", "month", "year"} and (a.divides or b.divides)  # "9/7 - 1 day = 9/6"
    if mixed or dates or ("quarter" in units and any(4 * x == y for x, y in product(a.readings, b.readings))):
        return None
    return False


def _close(x: Fraction, y: Fraction, a: _Value, b: _Value, about: bool) -> bool:
    if x == y:
        return True
    slack = a.last_places + b.last_places
    if b.literal_decimals is not None and (x * 10**b.literal_decimals).denominator != 1:
        slack += Fraction(1, 10**b.literal_decimals)  # rounded or cut to the digits shown
    if a.rounded or b.rounded:
        slack = max(slack, abs(x) / 500)
    if about:
        slack = max(slack, abs(x) / 20, Fraction(1))
    return abs(x - y) < slack


def _tidy(text: str) -> str:
    return re.sub(r"([$€£(]) | (?=\))", r"\1", text)

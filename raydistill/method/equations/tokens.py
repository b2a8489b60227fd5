"""Tokens of a line of prose: numbers, operators, brackets, "=" or "is", and words."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple, cast

Kind = Literal["number", "op", "open", "close", "equals", "is", "word", "other"]


class Token(NamedTuple):
    """A token and its place in the line."""

    kind: Kind
    text: str
    start: int
    end: int


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
    r"\\(?:times|cdot)": "*",
    r"\\div": "/",
    r"\\([$%])": r"\1",
    r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}": r"(\1)/(\2)",
    r"[×·∗]": "*",
    r"÷": "/",
    r"[−–—]": "-",
    r"(?<=[\w)])(\s?)\*\*\1(?=[\d(])": "^",
    r"\*\*": "",
    r"\\[()\[\]]": "",
    r"<<[^<>]*>>": "",
}


def plain(text: str) -> str:
    """Return `text` with plain operators: no LaTeX, no bold, no calculator notes."""
    for pattern, replacement in _TYPOGRAPHY.items():
        text = re.sub(pattern, replacement, text)
    return text


def tokens(line: str) -> list[Token]:
    """Return the tokens of a plain line; numbers lose their commas, operators become + - * /."""
    result: list[Token] = []
    for match in _TOKEN.finditer(line):
        kind = match.lastgroup or "rest"
        text = match[0]
        if kind == "number":
            text = text.replace(",", "")
        elif kind == "op":
            words = " ".join(text.lower().split())
            text = _OPERATORS.get(words, text)
        elif kind == "rest":
            kind = "other"
        result.append(Token(cast(Kind, kind), text, match.start(), match.end()))
    return result


def numbers(text: str) -> set[Fraction]:
    """Return the numbers that stand in `text` in digits."""
    return {Fraction(token.text.rstrip("%")) for token in tokens(plain(text)) if token.kind == "number"}


def mixed_number_at(line: list[Token], i: int) -> bool:
    """Return True if the "and" at `i` joins a whole number and a proper fraction ("2 and 1/8")."""
    around = [*line[max(0, i - 1) : i], *line[i + 1 : i + 4]]
    kinds = [token.kind for token in around]
    if kinds != ["number", "number", "op", "number"] or around[2].text != "/":
        return False
    whole, top, _, bottom = (token.text for token in around)
    are_integers = whole.isdecimal() and top.isdecimal() and bottom.isdecimal()
    return are_integers and int(top) < int(bottom)

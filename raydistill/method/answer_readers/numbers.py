"""Numbers: digits with signs, separators, fractions and scales, or words ("thirty-seven")."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from raydistill.method.answer_readers.answer_sentences import answer_part
from raydistill.method.answer_readers.plain_text import distinct, scalar_text, single_answer

TOLERANCE = 1e-6
"""Numbers closer than this are equal (Ho et al. 2023)."""

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)"
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<sign>(?<![^\s(=:\[,])[-+])?(?:"
    rf"(?:(?P<whole>\d+)[ -])?(?P<top>\d+) ?/ ?(?P<bottom>\d+)(?![\d/])"
    rf"|(?P<plain>{_DIGITS}(?:\.\d+)?|\.\d+)(?P<exponent>[eE][-+]?\d{{1,2}}\b)?(?::\d\d)?)"
    rf"(?: (?P<scale>hundred|thousand|million)\b)?",
    re.ASCII | re.IGNORECASE,
)

_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_WORD_VALUES = dict(zip([*_ONES, *_TEENS, *_TENS], [*range(20), *range(20, 100, 10)], strict=True))

_ANY_ONE = "|".join(_ONES)
_ANY_UNIT = "|".join(_ONES[1:])
_ANY_TEEN = "|".join(_TEENS)
_ANY_TEN = "|".join(_TENS)
_BELOW_100 = rf"(?:(?:{_ANY_TEN})(?: (?:{_ANY_UNIT}))?|{_ANY_TEEN}|{_ANY_ONE})\b"
_BELOW_1000 = rf"(?:(?:{_BELOW_100}|a) hundred\b(?: (?:and )?{_BELOW_100})?|{_BELOW_100})"
_NUMBER_WORDS = re.compile(
    rf"\b(?:{_BELOW_1000}|a(?= thousand| million))(?: (?:thousand|million)\b(?:(?: and)? {_BELOW_1000})?)*"
)


def read(text: str, choices: Sequence[str] = ()) -> list[str]:
    """Return the distinct numbers behind the last "=" of `text`; of words only if there are no digits."""
    text = text.rpartition("=")[2]
    numbers = []
    for match in _NUMBER.finditer(text):
        number = _number(match)
        if number is not None:
            numbers.append(number)
    if not numbers:  # only without digits: "5 apples for the one who …"
        words = re.sub(r"[\s,-]+", " ", text.lower())
        numbers = [_words_value(match[0]) for match in _NUMBER_WORDS.finditer(words)]
    return distinct(numbers, float)


def canonical(answer: str) -> str:
    """Return a number in plain digits: "43.0" as "43"; what is no single number comes back stripped."""
    return single_answer(answer, read, (), strict=True) or answer.strip()


def same(prediction: str, gold: str) -> bool:
    """Return True if both are numbers that differ by at most `TOLERANCE`."""
    predicted = _value(prediction)
    expected = _value(gold)
    return predicted is not None and expected is not None and abs(predicted - expected) <= TOLERANCE


def parse_gold(value: object, choices: Sequence[str] = ()) -> str | None:
    """Return a gold number as it is written if any program can read it ("43.0"), else in plain digits."""
    text = scalar_text(value)
    if text is None or single_answer(answer_part(text), read, (), strict=False) is None:
        return None
    try:
        float(text)
    except ValueError:  # "1,200 dollars"
        return canonical(text)
    return text


def to_float(text: str) -> float | None:
    """Return the finite number that `text` is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def canonical_decimal(number: str) -> str:
    """Return the canonical text of a plain decimal; digits are kept (no rounding through float)."""
    if number.isascii() and number.isdigit():
        return number.lstrip("0") or "0"
    if to_float(number) is None:
        return number
    text = f"{Decimal(number):f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _value(number: str) -> float | None:
    return to_float(number) or to_float(canonical(number))


def _number(match: re.Match[str]) -> str | None:
    """Return the canonical text of a match of `_NUMBER`; None if it has no finite value (1/0)."""
    sign = match["sign"] or ""
    if match["bottom"]:
        text = sign + repr(_mixed_number(match["whole"], match["top"], match["bottom"]))
    else:
        exponent = match["exponent"] or ""
        text = sign + match["plain"].replace(",", "") + exponent
    if match["scale"]:
        scale = _SCALES[match["scale"].lower()]
        text = repr(float(text) * scale)
    return canonical_decimal(text) if math.isfinite(float(text)) else None


def _mixed_number(whole: str | None, top: str, bottom: str) -> float:
    """Return the value of "3 1/2", or of "1/2" without a whole part."""
    divisor = float(bottom)
    fraction = float(top) / divisor if divisor else math.nan
    return float(whole or 0) + fraction


def _words_value(words: str) -> str:
    """Return the digits of number words; `group` counts up to the next "thousand" or "million"."""
    total = 0
    group = 0
    for word in words.split():
        if word == "hundred":
            group = max(group, 1) * 100
        elif word in _SCALES:
            total += max(group, 1) * _SCALES[word]
            group = 0
        else:
            group += _WORD_VALUES.get(word, 0)
    return str(total + group)

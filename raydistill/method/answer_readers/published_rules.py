"""The published rules of Fine-tune-CoT (Ho et al. 2023) to the letter, defects included, for accuracies that compare.

They treat three benchmarks in their own way: multiarith compares its integers as text, date_understanding always has
the options A to F and tracking_shuffled_objects A to C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from raydistill.method.answer_readers.numbers import TOLERANCE, canonical_decimal, to_float
from raydistill.method.answer_readers.options import MOST_OPTIONS, letter

_AS_TEXT = "multiarith"
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?")

PublishedReader = Callable[[str, Sequence[str], str], list[str]]
"""Reads all candidates of a text, in order, from (text, choices, task)."""


def first_or_last(text: str, candidates: Callable[[str], list[str]], prefix: str) -> str | None:
    """Return the first candidate behind `prefix`; if the text lacks it, the last one of the text.

    Args:
        text: a completion.
        candidates: reads all candidates of a text in order.
        prefix: what stands before the answer ("The answer is"); "": the first candidate of the text counts.
    """
    if not prefix:
        return next(iter(candidates(text)), None)
    before, separator, after = text.partition(prefix)
    if separator:
        return next(iter(candidates(after)), None)
    return next(reversed(candidates(before)), None)


def read_numbers(text: str, choices: Sequence[str], task: str) -> list[str]:
    """Return all decimals; commas are dropped."""
    numbers = _DECIMAL.findall(text.replace(",", ""))
    return numbers if task == _AS_TEXT else [canonical_decimal(number) for number in numbers]


def read_options(text: str, choices: Sequence[str], task: str) -> list[str]:
    """Return all capitals that may be an option, within words too."""
    last = letter(_options(choices, task) - 1)
    return re.findall(f"[A-{last}]", text)


def read_yes_no(text: str, choices: Sequence[str], task: str) -> list[str]:
    """Return all words that are yes or no."""
    words = re.sub(r"[\"'\n.\s:,]", " ", text.lower()).split()
    return [word for word in words if word in ("yes", "no")]


def read_letters(text: str, choices: Sequence[str], task: str) -> list[str]:
    """Return the whole text without quotation marks, full stops and white space."""
    letters = re.sub(r"[\"'\n.\s]", "", text)
    return [letters] if letters else []


def read_text(text: str, choices: Sequence[str], task: str) -> list[str]:
    """Return the whole text, stripped."""
    stripped = text.strip()
    return [stripped] if stripped else []


def same_numbers(prediction: str, gold: str, task: str) -> bool:
    """Compare numbers with a tolerance, those of multiarith as text."""
    gold = gold.replace(",", "")
    if task == _AS_TEXT:
        return prediction == gold
    predicted = to_float(prediction)
    expected = to_float(gold)
    return predicted is not None and expected is not None and abs(predicted - expected) <= TOLERANCE


def same_text(prediction: str, gold: str, task: str) -> bool:
    """Compare texts character by character."""
    return prediction == gold


def _options(choices: Sequence[str], task: str) -> int:
    """Return how many letters are options; that some date questions have five is not looked at."""
    if task == "date_understanding":
        return 6
    if choices:
        return min(len(choices), MOST_OPTIONS)
    return 3 if task == "tracking_shuffled_objects" else MOST_OPTIONS

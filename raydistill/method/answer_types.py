"""The types of answers: one record each. Settings, extraction, question files and prompts take theirs from here.

To add a type, add a record; its readers may live in a file of `answer_readers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raydistill.method.answer_readers import numbers, options, published_rules, words
from raydistill.method.answer_readers.plain_text import Reader
from raydistill.method.answer_readers.published_rules import PublishedReader

GENERIC_TRIGGER = "\nTherefore, the answer is"
"""What the answer call ends with for every benchmark (Ho et al. 2023)."""


def no_chance(choices: Sequence[str]) -> float | None:
    """Return None: there are no options to guess from."""
    return None


@dataclass(frozen=True)
class AnswerType:
    """How answers of a type are asked for, read, compared and written."""

    name: str
    description: str
    """What a gold answer has to be, for error messages."""
    read: Reader
    """The distinct answers that a text names (robust rules)."""
    read_published: PublishedReader
    """All candidates of a text (rules of Ho et al. 2023)."""
    same: Callable[[str, str], bool]
    """True if a prediction equals the gold answer (robust rules)."""
    same_published: Callable[[str, str, str], bool]
    """The same by the rules of Ho et al. 2023, from (prediction, gold, task)."""
    canonical: Callable[[str], str]
    """The form that exemplars and predictions use."""
    parse_gold: Callable[[object, Sequence[str]], str | None]
    """A gold answer of a user's file as text, from (value, choices); None if it is not of this type."""
    chance: Callable[[Sequence[str]], float | None] = no_chance
    """How often a guess among the options is right, 0 … 1; None if there are no options."""
    has_options: bool = False
    """True if a question lists its options, with letters."""
    trigger: str = GENERIC_TRIGGER
    """What the answer call ends with by the rule "per_dataset" (Kojima et al. 2022); `{last}` is the last option."""


_RECORDS = (
    AnswerType(
        name="number",
        description='one number such as 43, "1,200.50" or "3/4"',
        read=numbers.read,
        read_published=published_rules.read_numbers,
        same=numbers.same,
        same_published=published_rules.same_numbers,
        canonical=numbers.canonical,
        parse_gold=numbers.parse_gold,
        trigger="\nTherefore, the answer (arabic numerals) is",
    ),
    AnswerType(
        name="letter",
        description="the letter of an option (A, B, …) or an option's text",
        read=options.read,
        read_published=published_rules.read_options,
        same=options.same,
        same_published=published_rules.same_text,
        canonical=options.canonical,
        parse_gold=options.parse_gold,
        chance=options.chance,
        has_options=True,
        trigger="\nTherefore, among A through {last}, the answer is",
    ),
    AnswerType(
        name="yes_no",
        description="yes or no",
        read=words.read_yes_no,
        read_published=published_rules.read_yes_no,
        same=words.same_yes_no,
        same_published=published_rules.same_text,
        canonical=words.canonical_yes_no,
        parse_gold=words.parse_gold_yes_no,
        chance=words.chance_yes_no,
        trigger="\nTherefore, the answer (Yes or No) is",
    ),
    AnswerType(
        name="letters",
        description="one word of letters",
        read=words.read_letters,
        read_published=published_rules.read_letters,
        same=words.same_letters,
        same_published=published_rules.same_text,
        canonical=words.canonical_letters,
        parse_gold=words.parse_gold_letters,
    ),
    AnswerType(
        name="text",
        description="a text that is not empty",
        read=words.read_text,
        read_published=published_rules.read_text,
        same=words.same_text,
        same_published=published_rules.same_text,
        canonical=words.canonical_text,
        parse_gold=words.parse_gold_text,
    ),
)

ANSWER_TYPES: dict[str, AnswerType] = {record.name: record for record in _RECORDS}
"""By name, as settings and the column `answer_type` say it."""

"""Replay of a last-letters question: which letter each word ends with, and what they make together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from raydistill.method.steps.fault import StepFault, wrong_step
from raydistill.method.steps.wording import any_of, parts_by_name, sentences, shorten

_ASKED = re.compile(r"last letters? of [^\"“]*[\"“]([^\"”]+)[\"”]", re.IGNORECASE)
_OUTER_PUNCTUATION = re.compile(r"^\W+|\W+$")

_LETTER = re.compile(
    r"[\"“'‘](\w)[\"”'’]"  # quoted, or bare behind a word that brings one and before the end of a phrase
    r"|(?:\b(?:is|are|letter|with|in|get|gives?)\b|->|→|[:=])\s*\(?(\w)\)?(?=\s*(?:[.,;\n]|$|and\b))"
)
_BRINGS_LETTER = re.compile(r"\b(?:letters?|ends?|ending|get|gives?|is|are)\b|->|→|[:=]", re.IGNORECASE)
_OTHER_PLACE = re.compile(r"\b(?:first|second|third|fourth|middle) letter|\b(?:starts?|begins?) with", re.IGNORECASE)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_ANY_ORDINAL = "|".join(_ORDINALS)
_NTH_WORD = re.compile(rf"last letter of the ({_ANY_ORDINAL}) (?:word|name)", re.IGNORECASE)
_PUTS_TOGETHER = re.compile(r"\b(?:concatenat|together|join|combin|form|make|one after)", re.IGNORECASE)
_QUOTED_WORD = re.compile(r"[\"“](\w\w+)[\"”]")


def parse(question: str) -> list[str]:
    """Return the words whose last letters are asked for; [] if the question asks for none."""
    asked = _ASKED.search(unicodedata.normalize("NFC", question))
    if not asked:
        return []
    words = [_OUTER_PUNCTUATION.sub("", word) for word in asked[1].split()]
    return [word for word in words if word]


def faults(text: str, words: list[str], prediction: str | None) -> Iterator[StepFault]:
    """Yield what a rationale says against its question, in order."""
    names = re.compile(any_of(words))
    for sentence in sentences(text):
        if _OTHER_PLACE.search(sentence):
            continue
        without_names = names.sub("", sentence)
        if _BRINGS_LETTER.search(without_names):
            for word, part in parts_by_name(sentence, names):
                yield from _faults_behind(word, part, words)
        yield from _nth_word_faults(sentence, words)
        if prediction and _PUTS_TOGETHER.search(sentence):
            yield from _result_faults(without_names, prediction)


def _faults_behind(word: str, part: str, words: Sequence[str]) -> Iterator[StepFault]:
    """Yield the faults of the letters behind `word`: its own, or of all words behind the last one."""
    if not word:
        return
    letters = _stated_letters(part)
    if len(letters) == 1:
        yield from _letter_faults(letters[0], word)
    elif len(letters) == len(words) > 1 and word == words[-1]:
        for letter, of_word in zip(letters, words, strict=True):
            yield from _letter_faults(letter, of_word)


def _nth_word_faults(sentence: str, words: Sequence[str]) -> Iterator[StepFault]:
    """Yield the fault of "the last letter of the second word is …"."""
    match = _NTH_WORD.search(sentence)
    if not match:
        return
    letters = _stated_letters(sentence, match.end())
    if len(letters) != 1:
        return
    index = _ORDINALS.index(match[1].lower())
    if index >= len(words):
        yield wrong_step(shorten(match[0]), f"there are {len(words)} words")
    else:
        yield from _letter_faults(letters[0], words[index])


def _result_faults(sentence: str, prediction: str) -> Iterator[StepFault]:
    """Yield the fault of letters that are put together to something else than the answer."""
    results = _QUOTED_WORD.findall(sentence)
    if results and results[-1].casefold() != prediction.casefold():
        yield StepFault("contradiction", f"makes {results[-1]}, answers {prediction}")


def _letter_faults(letter: str, word: str) -> Iterator[StepFault]:
    if letter.casefold() != word[-1].casefold():
        yield wrong_step(f'"{letter}" for {word}', f'its last letter is "{word[-1]}"')


def _stated_letters(text: str, start: int = 0) -> list[str]:
    return [match[1] or match[2] for match in _LETTER.finditer(text, start)]

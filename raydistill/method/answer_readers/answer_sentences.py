"""Answer sentences ("Therefore, the answer is 43."): where they begin and end in a completion."""

from __future__ import annotations

import re
from typing import NamedTuple

from raydistill.method.answer_readers.plain_text import SENTENCE_END

LONGEST_LEAD_IN = 80
"""Characters before "answer is" that are searched for "Therefore, the" and the like."""

_RUN_ON = re.compile(r"\nQ:|\bEND\b")
# `[^()\n]` rather than `[^)]`: a text of nothing but "answer (" must not be scanned anew from each of them.
_TRIGGER = re.compile(r"\banswer(?: \([^()\n]*\))?(?: would be| will be| is|:| =)", re.IGNORECASE)
# What leads up to "answer is" and goes with it when the sentence is taken out.
_LEAD_IN = re.compile(
    r"(?:\b(?:the|final|correct|my|our|so|therefore|thus|hence|then|and|finally|in conclusion|i think|that|this means"
    r"|we can conclude|among [A-Z] through [A-Z])\b[\s,:]*)+$",
    re.IGNORECASE,
)


class AnswerSentence(NamedTuple):
    """An answer sentence, as places in its text."""

    begin: int
    """Where "answer is" begins."""
    start: int
    """Where the answer starts: behind "answer is"."""
    end: int
    """Where the answer ends."""

    def answer(self, text: str) -> str:
        """Return the text of the answer."""
        return text[self.start : self.end]


def without_run_on(text: str) -> str:
    """Return `text` without what the model went on to invent after its answer: a next "Q:", or what follows "END"."""
    match = _RUN_ON.search(text)
    return text[: match.start()] if match else text


def answer_sentences(text: str) -> list[AnswerSentence]:
    """Return the answer sentences of `text` in order.

    An answer reaches to the end of its line or to the next "answer is"; if its line is blank, of the next line with
    text.
    """
    triggers = list(_TRIGGER.finditer(text))
    limits = [trigger.start() for trigger in triggers[1:]]
    limits.append(len(text))
    sentences = []
    for trigger, limit in zip(triggers, limits, strict=False):
        start = trigger.end()
        line_end = text.find("\n", _first_word(text, start, limit), limit)  # past "The answer is:\n\n**42**"
        end = limit if line_end < 0 else line_end
        sentences.append(AnswerSentence(trigger.start(), start, end))
    return sentences


def answer_part(text: str) -> str:
    """Return what the last answer sentence of a completion says, or the whole completion if it has none."""
    text = without_run_on(text)
    sentences = answer_sentences(text)
    return sentences[-1].answer(text) if sentences else text


def sentence_end(text: str, start: int, end: int) -> int:
    """Return where the sentence that has a word at or after `start` ends, at most `end`."""
    match = SENTENCE_END.search(text, _first_word(text, start, end), end)
    return match.end() if match else end


def clause_begin(text: str, begin: int) -> int:
    """Return where the clause of an "answer is" at `begin` starts, with its "Therefore, "; a reason before it stays."""
    lead_in = _LEAD_IN.search(text, max(0, begin - LONGEST_LEAD_IN), begin)
    end = lead_in.start() if lead_in else begin
    while end and (text[end - 1].isspace() or text[end - 1] in "*_#`"):
        end -= 1
    return end


def _first_word(text: str, start: int, end: int) -> int:
    while start < end and not text[start].isalnum():
        start += 1
    return start

"""Last letters: 'Take the last letters of each words in "Ada Grace" and concatenate them.'."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

from raydistill.simulated.puzzles.base import Wording, Working
from raydistill.simulated.puzzles.layout import lay_out, listed
from raydistill.simulated.puzzles.step_puzzle import Mistakes, StepPuzzle

LAST_BUT_ONE, FIRST = 1, 2  # kinds of mistakes: the letter that is taken instead

_WORDS = re.compile(r"last letters? of (?:each|all|every)?\s*(?:the |of the )*words? in [\"“']([^\"”]+?)[\"”']", re.I)
_WORD = re.compile(r"[^\W\d_]+")

OPENINGS = (
    "",
    "",
    "We take the words one by one.",
    "Look at each word in turn.",
    "The words are {words}.",
)
STEPS = (
    'The last letter of "{word}" is "{letter}".',
    '"{word}" ends in "{letter}".',
    '"{word}" ends with the letter "{letter}".',
    'In "{word}" the last letter is "{letter}".',
    'For "{word}" we get "{letter}".',
    "The last letter of {word} is {letter}.",
)
ENDINGS = (
    'Concatenating them gives "{answer}".',
    'Put together, they are "{answer}".',
    'Joining {letters} gives "{answer}".',
    'So together the letters make "{answer}".',
    "Concatenating {letters} gives {answer}.",
    'Written one after another, the letters form "{answer}".',
)


class TakenLetter(NamedTuple):
    """A word and the letter that is taken from it."""

    word: str
    letter: str


@dataclass(frozen=True, kw_only=True)
class LastLetters(StepPuzzle[TakenLetter]):
    """Words whose last letters are joined."""

    answer_type = "letters"
    zero_shot_answer_fraction = 0.84

    words: tuple[str, ...]

    @classmethod
    def parse(cls, question: str) -> Self | None:
        """Read the words from a question's text."""
        match = _WORDS.search(question)
        return cls(words=tuple(match[1].split())) if match else None

    @property
    def step_count(self) -> int:
        """Number of words."""
        return len(self.words)

    def solve(self, mistakes: Mistakes) -> Working[TakenLetter]:
        """Take the letters; a mistake takes the last letter but one, or the first."""
        trace = []
        for index, word in enumerate(self.words):
            mistake = mistakes.get(index)
            letter = _wrong_letter(word, mistake) if mistake else word[-1]
            trace.append(TakenLetter(word, letter))
        answer = "".join(taken.letter for taken in trace)
        return Working(tuple(trace), answer)

    def habitual_mistakes(self) -> Mistakes:
        """Take the first letter of every word."""
        return dict.fromkeys(range(len(self.words)), FIRST)

    def other_answer(self, answer: str, rng: Random) -> str:
        """Exchange the last two letters; if they are the same, lose one."""
        exchanged = answer[:-2] + answer[:-3:-1]
        if exchanged != answer:
            return exchanged
        return answer[:-1] or _other_letter(answer)

    def rationale(self, working: Working[TakenLetter], style: Random, *, sure: bool) -> str:
        """Tell the letters in one of many wordings."""
        step_wording = style.choice(STEPS)
        steps = [step_wording.format(word=taken.word, letter=taken.letter) for taken in working.trace]
        letters = [f'"{taken.letter}"' for taken in working.trace]
        opening = style.choice(OPENINGS).format(words=listed(self.words))
        ending = style.choice(ENDINGS).format(answer=working.answer, letters=listed(letters))
        return lay_out(opening, steps, ending, style)

    def conclusion(self, sentence: str) -> str | None:
        """Read the last word of the sentence."""
        words = _WORD.findall(sentence)
        return words[-1] if words else None

    def answer_wordings(self, answer: str) -> list[Wording]:
        """List the letters in quotes, bare or apart."""
        return [
            Wording(f' "{answer}".', 50),
            Wording(f" {answer}.", 30),
            Wording(f" {answer}", 10),
            Wording(f" {'-'.join(answer)}.", 10),
        ]

    def similar_question(self, names: Sequence[str]) -> str:
        """Ask for the last letters of `names`."""
        return f'Take the last letters of each words in "{" ".join(names)}" and concatenate them.'


def _wrong_letter(word: str, mistake: int) -> str:
    letter = word[0].lower() if mistake == FIRST else word[-2:][0]
    return letter if letter != word[-1] else _other_letter(letter)


def _other_letter(letter: str) -> str:
    return "e" if letter.lower() == "a" else "a"

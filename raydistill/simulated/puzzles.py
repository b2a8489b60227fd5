"""What the simulated teacher can work out, step by step, and how it goes wrong.

A puzzle is recognised from its question's text; `attempt` works it out, rightly or with a mistake that is carried on.
Answers are canonical texts: "yes"/"no", "yajo", a letter for questions with choices, "43".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

MISSTATED = 0.2  # share of wrong answers whose steps are right: only the final statement is wrong


class Puzzle(NamedTuple):
    """`kind` is coin, letters, tracking, number, choice or other; what the other fields hold depends on it."""

    kind: str
    steps: tuple[tuple[str, ...], ...] = ()
    """coin: (name, "flips" or ""); letters: (word,); tracking: (name, name) that swap; number: (figure,)."""
    start: tuple[tuple[str, str], ...] = ()
    """coin: (("coin", "heads"),); tracking: (name, what the name holds) in the question's order."""
    asked: str = ""
    """coin: the side asked for; tracking: the name asked for; number: "$" where money is counted."""
    verb: str = "has"
    """tracking: "has", "is dancing with", "is playing"."""
    choices: tuple[str, ...] = ()


class Working(NamedTuple):
    """`trace` has one entry a step, as the rationale tells it; `answer` is what the rationale ends in."""

    trace: tuple[tuple[str, ...], ...]
    answer: str


@lru_cache(4096)
def recognise(question: str) -> Puzzle:
    """The puzzle in `question`; kind "other" where nothing is recognised."""
    for parse in (_coin, _letters, _tracking, _choice, _number):
        if puzzle := parse(question):
            return puzzle
    return Puzzle("other")


def attempt(
    puzzle: Puzzle, rng: Random, *, right: bool, lucky: bool = False, habit: bool = False, gold: str | None = None
) -> Working:
    """Work the puzzle out. `right` says whether the answer is right, `lucky` whether right rests on wrong steps.

    `habit`: lucky steps are all wrong in the same way (sound where there is nothing to get wrong). A wrong answer comes
    from one wrong step carried on, or (MISSTATED) from right steps and a wrong final statement.
    `gold` is the right answer of questions that cannot be worked out here (number, choice, other).
    """
    if puzzle.kind not in WORK:
        return _guess(puzzle, rng, right, gold)
    truth = WORK[puzzle.kind](puzzle, {})
    if right and not lucky:
        return truth
    if right and habit:
        return Working(WORK[puzzle.kind](puzzle, _habit(puzzle)).trace, truth.answer)
    if not right and rng.random() < MISSTATED:
        return Working(truth.trace, _other_answer(puzzle, truth.answer, rng))
    attempts = list(_mistaken(puzzle, truth, rng))
    if right:  # two mistakes that cancel, a mistake that does not matter, or a right statement after wrong steps
        fitting = [w for w in attempts if w.answer == truth.answer]
        return fitting[0] if fitting else Working(attempts[0].trace, truth.answer)
    fitting = [w for w in attempts if w.answer != truth.answer]
    return fitting[0] if fitting else Working(truth.trace, _other_answer(puzzle, truth.answer, rng))


def _mistaken(puzzle: Puzzle, truth: Working, rng: Random) -> Iterator[Working]:
    """Workings with one mistake, then with two, in random order; all differ from the right one in a step."""
    places = [(step, how) for step in range(len(puzzle.steps)) for how in (1, 2)]
    rng.shuffle(places)
    pairs = [(a, b) for a, b in itertools.combinations(places[:8], 2) if a[0] != b[0]]
    for mistakes in [*((p,) for p in places), *pairs]:
        working = WORK[puzzle.kind](puzzle, dict(mistakes))
        if working.trace != truth.trace:
            yield working


def _habit(puzzle: Puzzle) -> dict[int, int]:
    """The mistake of each step: the side stays for those who flip, the first letter counts, a swap is forgotten."""
    kind = {"coin": 2, "letters": 2, "tracking": 1}[puzzle.kind]
    return {i: kind for i, step in enumerate(puzzle.steps) if puzzle.kind != "coin" or step[1]}


# --- coin flip -------------------------------------------------------------------------------------------------------
_COIN_START = re.compile(r"\bcoin is (heads|tails) up", re.I)
_COIN_STEP = re.compile(r"(?:^|[.!?]\s+)([^.!?]+?) (flips|reverses|does not flip|doesn['’]t flip) the coin", re.I)
_COIN_ASKED = re.compile(r"\bis the coin (?:still )?(heads|tails) up\?", re.I)


def _coin(question: str) -> Puzzle | None:
    start, asked = _COIN_START.search(question), _COIN_ASKED.search(question)
    steps = tuple(
        (m[1].strip(), "flips" if m[2].lower() in ("flips", "reverses") else "") for m in _COIN_STEP.finditer(question)
    )
    if not (start and asked and steps):
        return None
    return Puzzle("coin", steps, (("coin", start[1].lower()),), asked[1].lower())


def turned(side: str) -> str:
    return "tails" if side == "heads" else "heads"


def _work_coin(puzzle: Puzzle, mistakes: Mapping[int, int]) -> Working:
    """Trace: (name, "flips" or "", side after it). Mistake 1 misreads who flips, 2 gets the side wrong."""
    side, trace = puzzle.start[0][1], []
    for i, (name, flips) in enumerate(puzzle.steps):
        if mistakes.get(i) == 1:
            flips = "" if flips else "flips"
        side = turned(side) if bool(flips) != (mistakes.get(i) == 2) else side
        trace.append((name, flips, side))
    return Working(tuple(trace), "yes" if side == puzzle.asked else "no")


# --- last letters ----------------------------------------------------------------------------------------------------
_LETTERS = re.compile(r"last letters? of (?:each|all|every)?\s*(?:the |of the )*words? in [\"“']([^\"”]+?)[\"”']", re.I)


def _letters(question: str) -> Puzzle | None:
    found = _LETTERS.search(question)
    return Puzzle("letters", tuple((word,) for word in found[1].split())) if found else None


def _work_letters(puzzle: Puzzle, mistakes: Mapping[int, int]) -> Working:
    """Trace: (word, letter taken). Mistake 1 takes the last letter but one, 2 the first (where these differ)."""
    taken = []
    for i, (word,) in enumerate(puzzle.steps):
        wrong = {0: word[-1], 1: word[-2:][0], 2: word[0].lower()}[mistakes.get(i, 0)]
        taken.append((word, wrong if wrong != word[-1] or i not in mistakes else _next_letter(word[-1])))
    return Working(tuple(taken), "".join(letter for _, letter in taken))


def _next_letter(letter: str) -> str:
    return "e" if letter.lower() == "a" else "a"


# --- tracking shuffled objects ---------------------------------------------------------------------------------------
_CHOICES = re.compile(r"\(([A-Z])\)\s*(.+?)(?=,?\s*\([A-Z]\)|\.?\s*$)", re.S)
_HOLDS = re.compile(r"(?:and )?(\w+) (has|gets|is \w+ing(?: with)?|holds|owns) (.+)")
_SWAP = re.compile(r"(\w+) and (\w+) (?:swap|trade|switch|exchange)")
_ASKED = re.compile(r"At the end of [^,]+, (\w+) (?:has|gets|is|holds|owns)\b[^,.]*$")


def choices_of(question: str) -> tuple[str, ...]:
    """The option texts of "Answer choices: (A) ..., (B) ...", empty where there are none."""
    _, mark, options = question.rpartition("hoices:")
    return tuple(text.strip(" .") for _, text in _CHOICES.findall(options)) if mark else ()


def _tracking(question: str) -> Puzzle | None:
    choices = choices_of(question)
    story = question.split("\nWhich choice")[0].split("Answer ")[0].strip()
    asked = _ASKED.search(story)
    opening = re.search(r"At the start[^:]*: (.+?)\.\s", story, re.S)
    if not (choices and asked and opening):
        return None
    held = [
        _HOLDS.fullmatch(part.strip()) for part in re.split(r", (?:and )?| and (?=\w+ (?:has|gets|is))", opening[1])
    ]
    swaps = tuple((m[1], m[2]) for m in _SWAP.finditer(story))
    if not swaps or not all(held):
        return None
    start = tuple((m[1], _definite(m[3])) for m in held if m)
    if not {asked[1], *itertools.chain(*swaps)} <= {name for name, _ in start}:
        return None
    verb = next(m[2] for m in held if m)
    verb = "has" if verb == "gets" else verb
    puzzle = Puzzle("tracking", swaps, start, asked[1], verb, choices)
    return puzzle if all(choice_letter(puzzle, item) for _, item in start) else None


def _definite(thing: str) -> str:
    return re.sub(r"^(?:an?|the) (?=[a-z])", "the ", thing.strip())


def choice_letter(puzzle: Puzzle, thing: str) -> str | None:
    """The letter of the option that names `thing`."""
    bare = thing.removeprefix("the ").lower()
    for i, choice in enumerate(puzzle.choices):
        if choice.removeprefix("the ").lower() == bare:
            return chr(ord("A") + i)
    return None


def _work_tracking(puzzle: Puzzle, mistakes: Mapping[int, int]) -> Working:
    """Trace: (a, b, what a holds after the swap, what b holds). Mistake 1 forgets the swap, 2 gives a's to a third."""
    holds, trace = dict(puzzle.start), []
    names = list(holds)
    for i, (a, b) in enumerate(puzzle.steps):
        if i not in mistakes:
            holds[a], holds[b] = holds[b], holds[a]
        elif mistakes[i] == 2:
            third = next((n for n in names if n not in (a, b)), a)
            holds[a], holds[third] = holds[third], holds[a]
        trace.append((a, b, holds[a], holds[b]))
    return Working(tuple(trace), choice_letter(puzzle, holds[puzzle.asked]) or "")


# --- questions that are only guessed at, unless a test gives the answer ----------------------------------------------
_NUMBER = re.compile(r"(?<![\w.])\$?(\d[\d,]*(?:\.\d+)?|\.\d+)")


def _choice(question: str) -> Puzzle | None:
    choices = choices_of(question)
    return Puzzle("choice", choices=choices) if len(choices) > 1 else None


def _number(question: str) -> Puzzle | None:
    figures = tuple((n.replace(",", ""),) for n in _NUMBER.findall(question))
    return Puzzle("number", figures[:5], asked="$" if "$" in question else "") if len(figures) > 1 else None


def number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.10g}"


def _sums(figures: Sequence[str]) -> Iterator[Working]:
    """Every chain of one or two sums over the figures; trace: (equation,) for each."""
    signs = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}
    values = [float(f) for f in figures]
    for count in (2, 3):
        for chosen in itertools.permutations(values, count):
            for ops in itertools.product(signs, repeat=count - 1):
                total, lines = chosen[0], []
                for op, value in zip(ops, chosen[1:], strict=True):
                    if op == "/" and value == 0:
                        break
                    before, total = total, signs[op](total, value)
                    lines.append((f"{number_text(before)} {op} {number_text(value)} = {number_text(total)}",))
                else:
                    if 0 < total < 1e9:
                        yield Working(tuple(lines), number_text(total))


def _guess(puzzle: Puzzle, rng: Random, right: bool, gold: str | None) -> Working:
    if puzzle.kind == "number":
        sums = list(_sums([figure for (figure,) in puzzle.steps]))
        if gold is not None:
            gold = number_text(float(gold.replace(",", ""))) if _NUMBER.fullmatch(gold) else gold
            sums = [w for w in sums if (w.answer == gold) == right]
        fallback = Working((), gold if gold is not None and right else str(rng.randrange(2, 100)))
        if gold is not None and right:  # the plainest derivation
            return sums[0] if sums else fallback
        likely = [w for w in sums if w.answer.isdigit()]
        return rng.choice(likely or sums) if sums else fallback
    if gold is not None and right:
        return Working((), gold)
    if puzzle.kind == "choice":
        letters = [chr(ord("A") + i) for i in range(len(puzzle.choices))]
        return Working((), rng.choice([c for c in letters if c != gold]))
    return Working((), "unknown")


def _other_answer(puzzle: Puzzle, answer: str, rng: Random) -> str:
    if puzzle.kind == "coin":
        return "no" if answer == "yes" else "yes"
    if puzzle.kind == "tracking":
        return rng.choice([x for _, thing in puzzle.start if (x := choice_letter(puzzle, thing)) and x != answer])
    turned_round = answer[:-2] + answer[:-3:-1]  # letters: the last two change places, or one is lost
    return turned_round if turned_round != answer else answer[:-1] or _next_letter(answer)


WORK: dict[str, Any] = {"coin": _work_coin, "letters": _work_letters, "tracking": _work_tracking}

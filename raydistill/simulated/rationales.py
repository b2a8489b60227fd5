"""What the simulated teacher writes: rationales and answers in many wordings, in the shapes that real teachers use.

`reply` is a pure function of the prompt, the sample number and the settings, so that the same request gets the same
text. The shapes (answer sentence or none, running on, "(B)", quotes, option text, ...) are those seen in the public
logs of Kojima et al. 2022.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from raydistill.config import SimulatedSettings
from raydistill.method import answers, steps
from raydistill.method.prompts import LLM_JUDGE
from raydistill.simulated.puzzles import Puzzle, Working, attempt, choice_letter, recognise, turned

GREEDY = -1  # sample number of temperature 0
CONTRADICTS = 0.02  # share of second calls whose answer is not the one that the rationale leads to
# Share of zero-shot rationales with an answer sentence of their own (Kojima et al.'s logs of text-davinci-002)
ZERO_SHOT_ANSWERS = {"coin": 0.12, "letters": 0.84, "tracking": 0.12, "choice": 0.17}

_QUESTION = re.compile(r"(?:^|\n)\s*Q:\s*")
_ANSWER_CALL = re.compile(r"\s*\n?[^\n]*\banswer(?: \([^)]*\))?(?: is)?:?\s*$", re.I)
_THINK = re.compile(r"^\s*Let['’]s think step by step\.?", re.I)


class Ask(NamedTuple):
    """A prompt, read: what is asked, with which exemplars before it, and how far the answer already goes."""

    question: str
    exemplars: str
    """The text before the last "Q:"; empty for zero-shot."""
    call: str
    """rationale, answer (the second call), judge or direct (an answer without reasoning)."""
    rationale: str
    """The rationale in the prompt of an answer call or of a judge's."""


def read_prompt(prompt: str) -> Ask:
    """Read a prompt in the layouts of `raydistill.prompts`; a text without "Q:" is a question by itself."""
    starts = list(_QUESTION.finditer(prompt))
    last = prompt[starts[-1].end() :] if starts else prompt
    exemplars = prompt[: starts[-1].start()].strip() if starts else ""
    question, _, answer = last.partition("\nA:")
    if answer.endswith(LLM_JUDGE):
        return Ask(question.strip(), exemplars, "judge", answer.removesuffix(LLM_JUDGE))
    body = _THINK.sub("", answer)
    ending = _ANSWER_CALL.search(body)
    if ending and body.strip():
        return Ask(question.strip(), exemplars, "answer", body[: ending.start()])
    direct = bool(starts) and not exemplars and body == answer and not answer.strip()
    return Ask(question.strip(), exemplars, "direct" if direct else "rationale", "")


def reply(prompt: str, sample: int, settings: SimulatedSettings, gold: str | None = None) -> str:
    """The teacher's text for sample number `sample` (GREEDY at temperature 0), before any stop or length cut."""
    ask = read_prompt(prompt)
    puzzle = recognise(ask.question)
    rng = Random(f"{settings.seed}\0{sample}\0{prompt}")
    if ask.call == "rationale":
        text = _rationale(ask, puzzle, rng, settings, gold)
    elif ask.call == "judge":
        text = _verdict(ask, puzzle, rng, settings)
    else:
        answer = conclusion(puzzle, ask.rationale) if ask.call == "answer" else None
        if answer is None or rng.random() < CONTRADICTS:
            right = rng.random() < settings.zero_shot_accuracy
            answer = attempt(puzzle, rng, right=right, gold=gold).answer
        text = _answer(puzzle, answer, rng)
    if rng.random() < settings.run_on_fraction:
        text += _next_question(puzzle.kind, rng)
    return text


def _rationale(ask: Ask, puzzle: Puzzle, rng: Random, settings: SimulatedSettings, gold: str | None) -> str:
    few_shot = bool(ask.exemplars)
    right = rng.random() < (settings.few_shot_accuracy if few_shot else settings.zero_shot_accuracy)
    lucky = rng.random() < settings.lucky_fraction
    working = attempt(puzzle, rng, right=right, lucky=lucky, habit=settings.lucky_habit, gold=gold)
    # Exemplars set the tone: few-shot rationales of one exemplar block share eight manners of writing, and one line.
    style = Random(f"{rng.randrange(8)}\0{ask.exemplars}") if few_shot else rng
    text = " " + WORDINGS.get(puzzle.kind, _word_guess)(puzzle, working, style, gold is not None)
    if few_shot:
        text = text.replace("\n", " ")
        if rng.random() < settings.missing_answer_fraction:
            return text
        return f"{text} The answer is {_as_exemplars(puzzle, working.answer, ask.exemplars)}."
    if rng.random() < ZERO_SHOT_ANSWERS.get(puzzle.kind, 0.02):
        lead = rng.choice(["Therefore, the answer is", "So the answer is", "The answer is"])
        text += f" {lead} {_plain(puzzle, working.answer)}."
    return "\n\n" + text.lstrip() if rng.random() < 0.1 else text


def _as_exemplars(puzzle: Puzzle, answer: str, exemplars: str) -> str:
    bare = puzzle.choices and not re.search(r"[Tt]he answer is \(", exemplars)
    return answer if bare else _plain(puzzle, answer)


def _plain(puzzle: Puzzle, answer: str) -> str:
    return f"({answer})" if puzzle.choices else answer


# --- rationales ------------------------------------------------------------------------------------------------------
COIN_OPENINGS = (
    "The coin starts {side} up.",
    "At first the coin is {side} up.",
    "The coin is {side} up at the start.",
    "We start with the coin {side} up.",
    "To begin with, the coin is {side} up.",
    "The coin begins {side} up.",
)
COIN_FLIPS = (
    "{name} flips it, so it is {side} up.",
    "{name} flips the coin, so it is now {side} up.",
    "{name} flips it, which turns it {side} up.",
    "{name} flips the coin, and it becomes {side} up.",
    "{name} flips, so the coin is {side} up.",
    "When {name} flips it, the coin turns {side} up.",
)
COIN_STAYS = (
    "{name} does not flip it, so it stays {side} up.",
    "{name} does not flip the coin, so it is still {side} up.",
    "{name} doesn't flip it, so it remains {side} up.",
    "{name} does not flip, so the coin stays {side} up.",
    "Since {name} does not flip it, the coin stays {side} up.",
)
COIN_ENDINGS = (
    "So the coin is {verdict} {asked} up.",
    "So in the end the coin is {side} up.",
    "At the end the coin is {side} up, so it is {verdict} {asked} up.",
    "The coin ends {side} up.",
    "This means the coin is {verdict} {asked} up.",
    "After everyone has had a turn, the coin is {side} up.",
)
LETTERS_OPENINGS = (
    "",
    "",
    "We take the words one by one.",
    "Look at each word in turn.",
    "The words are {words}.",
)
LETTERS_STEPS = (
    'The last letter of "{word}" is "{letter}".',
    '"{word}" ends in "{letter}".',
    '"{word}" ends with the letter "{letter}".',
    'In "{word}" the last letter is "{letter}".',
    'For "{word}" we get "{letter}".',
    "The last letter of {word} is {letter}.",
)
LETTERS_ENDINGS = (
    'Concatenating them gives "{answer}".',
    'Put together, they are "{answer}".',
    'Joining {letters} gives "{answer}".',
    'So together the letters make "{answer}".',
    "Concatenating {letters} gives {answer}.",
    'Written one after another, the letters form "{answer}".',
)
TRACKING_OPENINGS = (
    "At the start, {holdings}.",
    "In the beginning, {holdings}.",
    "We start with this: {holdings}.",
    "To begin with, {holdings}.",
)
TRACKING_STEPS = (
    "{a} and {b} swap, so {a} {verb} {x} and {b} {verb} {y}.",
    "{a} and {b} trade: now {a} {verb} {x} and {b} {verb} {y}.",
    "After {a} and {b} swap, {a} {verb} {x} and {b} {verb} {y}.",
    "{a} and {b} switch, which means {a} {verb} {x} and {b} {verb} {y}.",
)
TRACKING_ENDINGS = (
    "At the end, {asked} {verb} {thing}.",
    "So {asked} {verb} {thing}.",
    "In the end, {asked} {verb} {thing}.",
    "This means that {asked} {verb} {thing}.",
)
UNKNOWN = "This simulated teacher cannot work the question out, so what follows is a guess."


def _join(opening: str, steps: Sequence[str], ending: str, style: Random) -> str:
    """One text: as plain sentences, with First/Then/Finally, or as (numbered) lines."""
    layout = style.choices(("plain", "ordered", "lines", "numbered"), (55, 25, 12, 8))[0]
    if layout == "ordered" and len(steps) > 1:
        then = style.choice(("Then", "Next", "After that"))
        leads = ["First", *[then] * (len(steps) - 2), "Finally"]
        steps = [f"{lead}, {_mid_sentence(step)}" for lead, step in zip(leads, steps, strict=True)]
    elif layout == "numbered":
        steps = [f"{i}. {step}" for i, step in enumerate(steps, 1)]
    parts = [part for part in (opening, *steps, ending) if part]
    return (" " if layout in ("plain", "ordered") else "\n").join(parts)


def _mid_sentence(step: str) -> str:
    first = step.split()[0]
    return step[0].lower() + step[1:] if first in ("The", "In", "For", "When", "Since", "After") else step


def _word_coin(puzzle: Puzzle, working: Working, style: Random, sure: bool) -> str:
    asked = puzzle.asked
    side = asked if working.answer == "yes" else turned(asked)
    flips, stays = style.choice(COIN_FLIPS), style.choice(COIN_STAYS)
    steps = [(flips if flipped else stays).format(name=name, side=after) for name, flipped, after in working.trace]
    verdict = "still" if side == asked else style.choice(("not", "no longer"))
    opening = style.choice(COIN_OPENINGS).format(side=puzzle.start[0][1])
    return _join(opening, steps, style.choice(COIN_ENDINGS).format(side=side, asked=asked, verdict=verdict), style)


def _word_letters(puzzle: Puzzle, working: Working, style: Random, sure: bool) -> str:
    step, letters = style.choice(LETTERS_STEPS), [letter for _, letter in working.trace]
    opening = style.choice(LETTERS_OPENINGS).format(words=_listed([word for (word,) in puzzle.steps]))
    ending = style.choice(LETTERS_ENDINGS).format(
        answer=working.answer, letters=_listed([f'"{letter}"' for letter in letters])
    )
    return _join(opening, [step.format(word=word, letter=letter) for word, letter in working.trace], ending, style)


def _word_tracking(puzzle: Puzzle, working: Working, style: Random, sure: bool) -> str:
    verb, step = puzzle.verb, style.choice(TRACKING_STEPS)
    opening = style.choice(TRACKING_OPENINGS).format(holdings=_listed([f"{n} {verb} {t}" for n, t in puzzle.start]))
    steps = [step.format(a=a, b=b, x=x, y=y, verb=verb) for a, b, x, y in working.trace]
    thing = next(t for _, t in puzzle.start if choice_letter(puzzle, t) == working.answer)
    return _join(
        opening, steps, style.choice(TRACKING_ENDINGS).format(asked=puzzle.asked, verb=verb, thing=thing), style
    )


def _word_guess(puzzle: Puzzle, working: Working, style: Random, sure: bool) -> str:
    """Number, choice and other questions; `sure` where a test supplied the answer."""
    if puzzle.kind == "choice":
        parts = [f"Of the choices, ({working.answer}) {_option(puzzle, working.answer)} fits."]
    elif puzzle.kind == "number":
        lead = style.choice(("We calculate {}.", "We get {}.", "That is {}.", "{}."))
        parts = [*(lead.format(equation) for (equation,) in working.trace), f"The result is {working.answer}."]
    else:
        parts = [f"My guess is {working.answer}."]
    return " ".join(parts if sure else [UNKNOWN, *parts])


def _option(puzzle: Puzzle, letter: str) -> str:
    i = ord(letter[:1] or "?") - ord("A")
    return puzzle.choices[i] if 0 <= i < len(puzzle.choices) else letter


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 3:
        return " and ".join(parts)
    return ", ".join(parts[:-1]) + f", and {parts[-1]}"


# --- second call -----------------------------------------------------------------------------------------------------
def conclusion(puzzle: Puzzle, rationale: str) -> str | None:
    """The answer that a rationale leads to; None where it was cut before it got there."""
    text = rationale.split("\nQ:")[0].strip()
    if not text or text[-1] not in '.!?"”)':
        return None
    last = re.split(r"(?<=[.!?])\s+", text)[-1]
    if puzzle.choices and (letters := re.findall(r"\(([A-Z])\)", last)):
        return letters[-1]
    if puzzle.kind == "coin":
        if verdict := re.search(r"answer is (yes|no)\b", last, re.I):
            return verdict[1].lower()
        sides = re.findall(r"(not |no longer )?(heads|tails)", last)
        return ("yes" if bool(sides[-1][0]) != (sides[-1][1] == puzzle.asked) else "no") if sides else None
    if puzzle.kind == "letters":
        words = re.findall(r"[^\W\d_]+", last)
        return words[-1] if words else None
    if puzzle.kind == "tracking":
        held = [(last.rfind(thing), letter) for _, thing in puzzle.start if (letter := choice_letter(puzzle, thing))]
        return max(held)[1] if max(held)[0] >= 0 else None
    if puzzle.kind == "number":
        figures = re.findall(r"\d+(?:\.\d+)?", last)
        return figures[-1] if figures else None
    words = last.rstrip(".!?").split(" is ")
    return words[-1] if len(words) > 1 else None


def _answer(puzzle: Puzzle, answer: str, rng: Random) -> str:
    """The text of the second call, in one of the shapes that teachers give."""
    shapes: list[tuple[str, int]]
    if puzzle.kind == "coin":
        still = f"the coin is {'still' if answer == 'yes' else 'not'} {puzzle.asked} up"
        shapes = [
            (f" {answer}.", 40), (f" {answer.title()}.", 20), (f" {answer}", 10), (f" {answer.title()}, {still}.", 15),
            (f" ({answer.title()}).", 5), (f" **{answer}**", 5), (f"\n\n{answer.title()}.", 5),
        ]  # fmt: skip
    elif puzzle.kind == "letters":
        shapes = [(f' "{answer}".', 50), (f" {answer}.", 30), (f" {answer}", 10), (f" {'-'.join(answer)}.", 10)]
    elif puzzle.choices:
        option = _option(puzzle, answer)
        shapes = [(f" ({answer}).", 50), (f" {answer}.", 15), (f" ({answer}) {option}.", 20), (f" {option}.", 15)]
        if puzzle.kind == "tracking":
            thing = next((t for _, t in puzzle.start if choice_letter(puzzle, t) == answer), option)
            shapes.append((f" {puzzle.asked} {puzzle.verb} {thing}.", 10))
    elif puzzle.kind == "number":
        shapes = [(f" {answer}.", 60), (f" {answer}", 20)]
        if answer.isdigit():
            shapes += [(f" {int(answer):,}.", 5), (f" {answer}.0", 5), (f" {number_words(int(answer))}.", 10)]
        if puzzle.asked == "$":
            shapes.append((f" ${answer}.", 40))
    else:
        shapes = [(f" {answer}.", 1)]
    return rng.choices([text for text, _ in shapes], [weight for _, weight in shapes])[0]


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(value: int) -> str:
    """43 -> "forty-three"; figures from a hundred on."""
    if value >= 100:
        return str(value)
    if value < 20:
        return _UNITS[value]
    return _TENS[value // 10 - 2] + (f"-{_UNITS[value % 10]}" if value % 10 else "")


# --- judging ---------------------------------------------------------------------------------------------------------
_ANSWER_TYPES: dict[str, str] = {"coin": "yes_no", "letters": "letters", "number": "number", "other": "text"}


def _verdict(ask: Ask, puzzle: Puzzle, rng: Random, settings: SimulatedSettings) -> str:
    """Yes or no to a rationale with its answer: what replaying its steps finds, in `judge_accuracy` of the cases."""
    rationale, _, said = ask.rationale.rpartition(" The answer is ")
    kind = _ANSWER_TYPES.get(puzzle.kind, "letter")
    prediction = answers.canonical(said.strip().removesuffix("."), kind)
    sound = not steps.check(
        rationale, question=ask.question, prediction=prediction, answer_type=kind, choices=puzzle.choices
    )
    if sound == (rng.random() < settings.judge_accuracy):
        shapes = [(" Yes.", 40), (" Yes", 20), (" yes.", 10), (" Yes, every step is valid.", 28)]
    else:
        shapes = [(" No.", 40), (" No", 20), (" no.", 10), (" No, a step does not follow.", 28)]
    shapes.append((" That cannot be told.", 2))
    return rng.choices([text for text, _ in shapes], [weight for _, weight in shapes])[0]


# --- running on ------------------------------------------------------------------------------------------------------
_NAMES = (
    "Avery Blake Casey Devon Elliot Frankie Gray Harper Indigo Jules Kendall Logan Morgan Nico Parker Quinn".split()
)


def _next_question(kind: str, rng: Random) -> str:
    """An invented next question, as completion models write when nothing stops them."""
    names = rng.sample(_NAMES, 3)
    if kind == "letters":
        question = f'Take the last letters of each words in "{" ".join(names)}" and concatenate them.'
    else:
        turns = " ".join(f"{name} {rng.choice(('flips', 'does not flip'))} the coin." for name in names)
        question = f"A coin is heads up. {turns} Is the coin still heads up?"
    puzzle = recognise(question)
    working = attempt(puzzle, rng, right=True)
    rationale = WORDINGS[puzzle.kind](puzzle, working, rng, True)
    return f"\n\nQ: {question}\nA: Let's think step by step. {rationale} The answer is {working.answer}."


WORDINGS: dict[str, Callable[[Puzzle, Working, Random, bool], str]] = {
    "coin": _word_coin,
    "letters": _word_letters,
    "tracking": _word_tracking,
}

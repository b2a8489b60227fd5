"""Questions made here, worded like the published ones (Kojima et al. 2022, BIG-bench), of any number and size.

The same (task, size, items, seed) always give the same questions. Gold answers are balanced, and no question occurs
twice; each tracking question has a story of its own (in the published file three questions share one).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import cycle, islice

from raydistill.method.answer_readers.options import letter
from raydistill.method.questions import Question, with_choices
from raydistill.runtime.errors import QuestionsError
from raydistill.tasks.tracking_themes import THEMES, Theme

MOST_DRAWS_PER_QUESTION = 20
"""Draws after which there are taken to be no further different questions."""

PLAYERS = ("Alice", "Bob", "Claire", "Dave", "Eve", "Fred", "Gertrude")


def generate(task: str, size: int, items: int, seed: int) -> list[Question]:
    """Generate `size` questions of `items` people, names or objects each.

    Args:
        task: a name of `TASKS`.
        size: how many questions.
        items: people in a coin flip, names of a last-letter question, objects of a tracking question.
        seed: chooses names, flips, swaps and stories.

    Raises:
        QuestionsError: the task cannot be generated, `items` does not fit it, or there are not so many questions.
    """
    maker = _MAKERS.get(task)
    if maker is None:
        raise QuestionsError(
            f"questions.source is generated, but {task} cannot be generated.",
            f"Generated are: {', '.join(_MAKERS)}.",
        )
    questions: dict[str, Question] = {}
    draws = maker(items, random.Random(f"{task} {seed}"))
    for question in islice(draws, MOST_DRAWS_PER_QUESTION * size + 1_000):
        questions.setdefault(question.text, question)
        if len(questions) == size:
            return list(questions.values())
    raise QuestionsError(
        f"There are not {size:,} different {task} questions with {items} items.",
        "Lower questions.generated_size or raise questions.generated_items.",
    )


@cache
def names() -> tuple[str, ...]:
    """Return first names of one ASCII word."""
    text = (resources.files(__package__) / "names.txt").read_text(encoding="ascii")
    return tuple(text.split())


def coin_flip(people: Sequence[str], flips: Sequence[bool]) -> Question:
    """Return the question about `people`, of whom those with a true flip flip the coin."""
    turns = []
    for name, does_flip in zip(people, flips, strict=True):
        verb = "flips" if does_flip else "does not flip"
        turns.append(f"{name} {verb} the coin.")
    deeds = " ".join(turns)
    question = f'A coin is heads up. {deeds} Is the coin still heads up? Note that "flip" here means "reverse".'
    return Question(question, "no" if sum(flips) % 2 else "yes")


def last_letters(words: Sequence[str]) -> Question:
    """Return the question about the last letters of `words`."""
    question = f'Take the last letters of each words in "{" ".join(words)}" and concatenate them.'
    return Question(question, "".join(word[-1] for word in words))


def shuffled_objects(
    theme: Theme, players: Sequence[str], things: Sequence[str], swaps: Sequence[tuple[int, int]], asked: int
) -> Question:
    """Return the question what player `asked` holds after the swaps.

    Args:
        theme: the story.
        players: names.
        things: what each player holds at first, in the order of `players`; the options too.
        swaps: pairs of player numbers.
        asked: number of the player that the question is about.
    """
    held = _after(things, swaps)
    holdings = [theme.has.format(name=name, thing=thing) for name, thing in zip(players, things, strict=True)]
    steps = []
    for number, (a, b) in enumerate(swaps):
        steps.append(f"{_order_word(number, len(swaps))}, {players[a]} and {players[b]} {theme.swap}.")
    text = theme.story.format(
        players=_listed(players), things=_listed(holdings), swaps=" ".join(steps), name=players[asked]
    )
    choices = tuple(things)
    return Question(with_choices(text, choices), letter(choices.index(held[asked])), choices)


def _order_word(number: int, count: int) -> str:
    """Return the word that step `number` of `count` begins with."""
    if number == 0:
        return "First"
    return "Finally" if number == count - 1 else "Then"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _after(things: Sequence[str], swaps: Sequence[tuple[int, int]]) -> list[str]:
    held = list(things)
    for a, b in swaps:
        held[a], held[b] = held[b], held[a]
    return held


def _coin_flips(people: int, rng: random.Random) -> Iterator[Question]:
    for parity in cycle((0, 1)):
        flips = [rng.random() < 0.5 for _ in range(people - 1)]
        last_flip = sum(flips) % 2 != parity
        yield coin_flip(_some_names(people, rng), [*flips, last_flip])


def _letter_words(words: int, rng: random.Random) -> Iterator[Question]:
    while True:
        yield last_letters(_some_names(words, rng))


def _object_stories(things: int, rng: random.Random) -> Iterator[Question]:
    count = 3 if things == 4 else things  # 4, the setting's default, is meant for coins and letters
    if count not in (3, 5, 7):
        raise QuestionsError(
            f"questions.generated_items is {things}, but tracking_shuffled_objects takes 3, 5 or 7 objects."
        )
    players = PLAYERS[:count]
    for gold in cycle(range(count)):
        theme = rng.choice(THEMES)
        held = rng.sample(theme.things, count)
        swaps = _some_swaps(count, rng)
        asked = _after(held, swaps).index(held[gold])
        yield shuffled_objects(theme, players, held, swaps, asked)


def _some_swaps(count: int, rng: random.Random) -> list[tuple[int, int]]:
    """Return `count` swaps of `count` players; one taken back at once does not occur in BIG-bench."""
    swaps: list[tuple[int, int]] = []
    while len(swaps) < count:
        a, b = rng.sample(range(count), 2)
        if not swaps or {a, b} != set(swaps[-1]):
            swaps.append((a, b))
    return swaps


def _some_names(count: int, rng: random.Random) -> list[str]:
    pool = names()
    return rng.sample(pool, count) if count <= len(pool) else rng.choices(pool, k=count)


_MAKERS: dict[str, Callable[[int, random.Random], Iterator[Question]]] = {
    "coin_flip": _coin_flips,
    "last_letter_concatenation": _letter_words,
    "tracking_shuffled_objects": _object_stories,
}
TASKS = tuple(_MAKERS)

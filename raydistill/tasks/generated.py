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
from typing import NamedTuple

from raydistill.runtime.errors import QuestionsError
from raydistill.tasks.items import Item, letter, with_choices

PLAYERS = ("Alice", "Bob", "Claire", "Dave", "Eve", "Fred", "Gertrude")


def generate(task: str, size: int, items: int, seed: int) -> list[Item]:
    """`size` questions of `items` people, names or objects each.

    Raises:
        QuestionsError: the task cannot be generated, `items` does not fit it, or there are not so many questions.
    """
    maker = _MAKERS.get(task)
    if maker is None:
        raise QuestionsError(
            f"questions.source is generated, but {task} cannot be generated.",
            f"Generated are: {', '.join(_MAKERS)}.",
        )
    found: dict[str, Item] = {}
    draws = maker(items, random.Random(f"{task} {seed}"))
    for item in islice(draws, 20 * size + 1_000):
        found.setdefault(item.question, item)
        if len(found) == size:
            return list(found.values())
    raise QuestionsError(
        f"There are not {size:,} different {task} questions with {items} items.",
        "Lower questions.generated_size or raise questions.generated_items.",
    )


@cache
def names() -> tuple[str, ...]:
    """First names of one ASCII word."""
    return tuple((resources.files(__package__) / "names.txt").read_text(encoding="ascii").split())


def coin_flip(people: Sequence[str], flips: Sequence[bool]) -> Item:
    """The question about `people`, of whom those with a true flip flip the coin."""
    deeds = " ".join(f"{p} {'flips' if f else 'does not flip'} the coin." for p, f in zip(people, flips, strict=True))
    question = f'A coin is heads up. {deeds} Is the coin still heads up? Note that "flip" here means "reverse".'
    return Item(question, "no" if sum(flips) % 2 else "yes")


def last_letters(words: Sequence[str]) -> Item:
    """The question about the last letters of `words`."""
    question = f'Take the last letters of each words in "{" ".join(words)}" and concatenate them.'
    return Item(question, "".join(word[-1] for word in words))


class Theme(NamedTuple):
    """A kind of tracking story, with the wording of BIG-bench (its grammar included)."""

    story: str
    has: str
    swap: str
    things: tuple[str, ...]


def shuffled_objects(
    theme: Theme, players: Sequence[str], things: Sequence[str], swaps: Sequence[tuple[int, int]], asked: int
) -> Item:
    """The question what player `asked` holds after the swaps (pairs of player numbers) of the things held at first."""
    held = _after(things, swaps)
    order = ["First", *["Then"] * (len(swaps) - 2), "Finally"]
    text = theme.story.format(
        players=_listed(players),
        things=_listed([theme.has.format(name=p, thing=t) for p, t in zip(players, things, strict=True)]),
        swaps=" ".join(
            f"{when}, {players[a]} and {players[b]} {theme.swap}." for when, (a, b) in zip(order, swaps, strict=True)
        ),
        name=players[asked],
    )
    choices = tuple(things)
    return Item(with_choices(text, choices), letter(choices.index(held[asked])), choices)


_COLOURS = ("pink", "orange", "black", "blue", "brown", "green", "white", "red", "purple", "yellow")
THEMES = (
    Theme(
        "{players} are playing a game. At the start of the game, they are each holding a ball: {things}. \n\n"
        "As the game progresses, pairs of players trade balls. {swaps} At the end of the game, {name} has the",
        "{name} has a {thing}",
        "swap balls",
        tuple(f"{colour} ball" for colour in _COLOURS),
    ),
    Theme(
        "{players} are holding a white elephant gift exchange. At the start of the event, they are each holding a "
        "present of a different color: {things}. \n\nAs the event progresses, pairs of people swap gifts. {swaps} "
        "At the end of the event, {name} has the",
        "{name} has a {thing}",
        "swap their gifts",
        tuple(f"{colour} present" for colour in _COLOURS),
    ),
    Theme(
        "{players} are on the same team in a soccer match. At the start of the match, they are each assigned to a "
        "position: {things}. \n\nAs the game progresses, pairs of players occasionally swap positions. {swaps} "
        "At the end of the match, {name} is playing",
        "{name} is playing {thing}",
        "trade positions",
        (
            "goalkeeper",
            "center midfielder",
            "right winger",
            "right midfielder",
            "fullback",
            "left midfielder",
            "left winger",
            "striker",
            "cheerleader",
            "benchwarmer",
        ),
    ),
    Theme(
        "{players} are friends and avid readers who occasionally trade books. At the start of the semester, they each "
        "buy one new book: {things}. \n\nAs the semester proceeds, they start trading around the new books. {swaps} "
        "At the end of the semester, {name} has",
        "{name} gets {thing}",
        "swap books",
        (
            "The Odyssey",
            "Frankenstein",
            "Ulysses",
            "Lolita",
            "The Great Gatsby",
            "Catch-22",
            "Moby Dick",
            "The Pearl",
            "Hound of the Baskervilles",
            "The Fellowship of the Ring",
        ),
    ),
    Theme(
        "{players} are dancers at a square dance. At the start of a song, they each have a partner: {things}. \n\n"
        "Throughout the song, the dancers often trade partners. {swaps} "
        "At the end of the dance, {name} is dancing with",
        "{name} is dancing with {thing}",
        "switch partners",
        ("Jamie", "Patrick", "Rodrigo", "Melissa", "Sam", "Ophelia", "Karl", "Izzi", "Helga", "Lola"),
    ),
)


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _after(things: Sequence[str], swaps: Sequence[tuple[int, int]]) -> list[str]:
    held = list(things)
    for a, b in swaps:
        held[a], held[b] = held[b], held[a]
    return held


def _coin_flips(people: int, rng: random.Random) -> Iterator[Item]:
    for parity in cycle((0, 1)):
        flips = [rng.random() < 0.5 for _ in range(people - 1)]
        yield coin_flip(_some_names(people, rng), [*flips, sum(flips) % 2 != parity])


def _letter_words(words: int, rng: random.Random) -> Iterator[Item]:
    while True:
        yield last_letters(_some_names(words, rng))


def _object_stories(things: int, rng: random.Random) -> Iterator[Item]:
    count = 3 if things == 4 else things  # 4, the setting's default, is meant for coins and letters
    if count not in (3, 5, 7):
        raise QuestionsError(
            f"questions.generated_items is {things}, but tracking_shuffled_objects takes 3, 5 or 7 objects."
        )
    players = PLAYERS[:count]
    for gold in cycle(range(count)):
        theme = rng.choice(THEMES)
        held = rng.sample(theme.things, count)
        swaps: list[tuple[int, int]] = []
        while len(swaps) < count:
            a, b = rng.sample(range(count), 2)
            if not swaps or {a, b} != set(swaps[-1]):  # a swap taken back at once does not occur in BIG-bench
                swaps.append((a, b))
        yield shuffled_objects(theme, players, held, swaps, _after(held, swaps).index(held[gold]))


def _some_names(count: int, rng: random.Random) -> list[str]:
    pool = names()
    return rng.sample(pool, count) if count <= len(pool) else rng.choices(pool, k=count)


_MAKERS: dict[str, Callable[[int, random.Random], Iterator[Item]]] = {
    "coin_flip": _coin_flips,
    "last_letter_concatenation": _letter_words,
    "tracking_shuffled_objects": _object_stories,
}
TASKS = tuple(_MAKERS)

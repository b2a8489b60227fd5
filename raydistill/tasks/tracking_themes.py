"""The stories of tracking questions, with the wording of BIG-bench (its grammar included)."""

from __future__ import annotations

from typing import NamedTuple


class Theme(NamedTuple):
    """A kind of tracking story: a template and the phrases that fill it."""

    story: str
    has: str
    swap: str
    things: tuple[str, ...]


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

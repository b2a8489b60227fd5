"""How the sentences of a rationale are laid out."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

LAYOUTS = ("plain", "ordered", "lines", "numbered")
LAYOUT_WEIGHTS = (55, 25, 12, 8)
LOWERED_IN_SENTENCE = ("The", "In", "For", "When", "Since", "After")


def lay_out(opening: str, steps: Sequence[str], ending: str, style: Random) -> str:
    """Join the sentences to one text: plain, with First/Then/Finally, as lines or as numbered lines."""
    layout = style.choices(LAYOUTS, LAYOUT_WEIGHTS)[0]
    if layout == "ordered" and len(steps) > 1:
        steps = _ordered(steps, style)
    elif layout == "numbered":
        steps = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    sentences = [sentence for sentence in (opening, *steps, ending) if sentence]
    separator = " " if layout in ("plain", "ordered") else "\n"
    return separator.join(sentences)


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b, and c"."""
    if len(parts) < 3:
        return " and ".join(parts)
    return ", ".join(parts[:-1]) + f", and {parts[-1]}"


def _ordered(steps: Sequence[str], style: Random) -> list[str]:
    then = style.choice(("Then", "Next", "After that"))
    ordered = [f"{then}, {_within_sentence(step)}" for step in steps]
    ordered[0] = f"First, {_within_sentence(steps[0])}"
    ordered[-1] = f"Finally, {_within_sentence(steps[-1])}"
    return ordered


def _within_sentence(step: str) -> str:
    first_word = step.split()[0]
    if first_word in LOWERED_IN_SENTENCE:
        return step[0].lower() + step[1:]
    return step

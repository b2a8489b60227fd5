"""What is wrong with a rationale."""

from __future__ import annotations

from typing import Literal, NamedTuple

FaultKind = Literal["step", "contradiction", "unreached"]

_WORDS: dict[FaultKind, str] = {
    "step": "step does not hold",
    "contradiction": "contradicts its answer",
    "unreached": "does not reach its answer",
}


class StepFault(NamedTuple):
    """The first thing that is wrong with a rationale; `str` gives it as a sentence: "step does not hold: 3 + 3 = 5"."""

    kind: FaultKind
    """step: a step is wrong; contradiction: it leads to another answer than its own; unreached: it stops before it."""
    detail: str

    def __str__(self) -> str:
        return f"{_WORDS[self.kind]}: {self.detail}"


def wrong_step(statement: str, truth: str) -> StepFault:
    """Return the fault of a step that says `statement` although `truth`."""
    return StepFault("step", f"says {statement}; {truth}")

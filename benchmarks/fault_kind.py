"""What a misbehaviour of the fault server is, and how modules collect theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fault_call import Call

Play = Callable[[Call], Awaitable[None]]
Prompts = Literal["plain", "chinese"]


@dataclass(frozen=True)
class Kind:
    """A misbehaviour."""

    name: str
    play: Play
    """Answers a call in this way."""
    bills: bool
    """Whether the call is paid for."""
    is_readable: bool
    """Whether a client that knows of it can read the samples of its bodies."""
    is_chat_only: bool
    """Whether only the chat endpoint has it."""
    prompts: Prompts
    """What it takes to be asked."""
    rows: int | None
    """How many prompts show it, if every call is misbehaved; None for as many as the others."""
    latency_s: float
    """Seconds that a completion takes; long, where what matters is sent before the first reply comes."""


class Kinds(dict[str, Kind]):
    """Misbehaviours by name."""

    def add(
        self,
        *,
        bills: bool,
        is_readable: bool = False,
        is_chat_only: bool = False,
        prompts: Prompts = "plain",
        rows: int | None = None,
        latency_s: float = 0.03,
    ) -> Callable[[Play], Play]:
        """Add the decorated function under its name; the arguments are fields of `Kind`."""

        def add_play(play: Play) -> Play:
            name = getattr(play, "__name__", "")
            self[name] = Kind(name, play, bills, is_readable, is_chat_only, prompts, rows, latency_s)
            return play

        return add_play

"""How a command is stopped from outside: by Ctrl-C, and by SIGTERM (`kill`, `ray job stop`, Kubernetes) alike.

SIGTERM becomes a `KeyboardInterrupt`, so that whoever finishes cleanly at Ctrl-C does so at SIGTERM, too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """The process was told to end by SIGTERM."""


class LeftInFlight(KeyboardInterrupt):
    """The command ends without the replies to some calls: a second signal came, or they took too long.

    Attributes:
        calls: how many.
        exit_code: of the command.
    """

    def __init__(self, calls: int, cause: KeyboardInterrupt) -> None:
        super().__init__(calls)
        self.calls = calls
        self.exit_code = exit_code(cause)


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code of a command that `interrupt` ended."""
    if isinstance(interrupt, LeftInFlight):
        return interrupt.exit_code
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def sentence(interrupt: KeyboardInterrupt) -> str:
    """Return what a user is told about a command that `interrupt` ended."""
    if isinstance(interrupt, LeftInFlight):
        return (
            f"Stopped without waiting for {interrupt.calls:,} calls in flight: their replies are lost, though they may "
            "have been paid for, and count so. All other answers are kept."
        )
    return "Stopped. Every answer that was paid for is kept."


@contextmanager
def on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` for the length of the block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous if previous is not None else signal.SIG_DFL)


@contextmanager
def keeping_our_handler() -> Iterator[None]:
    """Put the handler of `on_sigterm` back when the block ends, if it was there: `ray.init` sets its own."""
    is_ours = signal.getsignal(signal.SIGTERM) is _terminate
    try:
        yield
    finally:
        if is_ours and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated

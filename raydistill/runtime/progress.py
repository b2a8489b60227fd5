"""What a person sees while a run works: one live line per stage on a terminal, plain lines elsewhere.

Stages call `Stage.update`; nothing else in the package prints while it works.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

PLAIN_EVERY_S = 10.0


class Stage:
    """The line of one stage. `update` may be called often; it draws only when there is something to see."""

    def __init__(self, progress: Progress, name: str, total: int, unit: str) -> None:
        self.progress, self.name, self.total, self.unit = progress, name, total, unit
        self.done = 0
        self.part = 0.0
        self.facts: dict[str, Any] = {}
        self.started = self._drawn = time.monotonic()
        self.note = ""

    def update(self, done: int | None = None, *, total: int | None = None, part: float = 0.0, **facts: Any) -> None:
        """Set how many of `total` are done, and other figures to show (calls, tokens, usd, failed, loss, …).

        `part` is how far (0 … 1) the one in work is, where ones are long.
        """
        self.part = part
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.facts |= facts
        self.progress._draw(self)

    def finish(self, note: str) -> None:
        """The sentence that stays when the stage is done."""
        self.note = note

    def line(self) -> str:
        elapsed = time.monotonic() - self.started
        rate = (self.done + self.part) / elapsed if elapsed > 0.5 else 0.0
        parts = [f"{self.done:,}/{self.total:,} {self.unit}" if self.total else f"{self.done:,} {self.unit}"]
        if rate >= 0.1:
            parts.append(f"{rate:,.1f}/s")
        parts += [f"{name} {_figure(name, value)}" for name, value in self.facts.items() if value not in (None, "")]
        if rate and self.done < self.total:
            parts.append(f"{_duration((self.total - self.done - self.part) / rate)} left")
        return f"{self.name:<12} " + " · ".join(parts)


class Progress:
    """Prints to `stream` (stderr by default); a terminal gets a live line, a log gets one now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._live: Live | None = None

    @contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "questions") -> Iterator[Stage]:
        """Show stage `name` for the length of the block; its last line stays."""
        stage = Stage(self, name, total, unit)
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        try:
            yield stage
        except BaseException:
            stage.note = stage.note or f"stopped at {stage.done:,} of {stage.total:,} {unit}"
            raise
        finally:
            if self._live:
                self._live.stop()
                self._live = None
            took = _duration(time.monotonic() - stage.started)
            self.say(f"{name:<12} {stage.note or f'{stage.done:,} {unit}'}  [{took}]")

    def say(self, text: str) -> None:
        """One plain line."""
        self.console.print(Text(text))

    def skipped(self, name: str, rows: int) -> None:
        self.say(f"{name:<12} {rows:,} rows, finished before")

    def _draw(self, stage: Stage) -> None:
        if self._live:
            self._live.update(Text(stage.line()))
        elif time.monotonic() - stage._drawn >= PLAIN_EVERY_S:
            stage._drawn = time.monotonic()
            self.say(stage.line())


def _figure(name: str, value: Any) -> str:
    if name == "usd":
        return f"${value:,.4f}" if value < 1 else f"${value:,.2f}"
    if isinstance(value, float):
        return f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"

"""What a person sees while a run works: one live line per stage on a terminal, plain lines elsewhere.

Stages call `Stage.update`; nothing else in the package prints while it works.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raydistill.runtime.formatting import dollars, duration

PLAIN_EVERY_S = 10.0
RATE_AFTER_S = 0.5  # an earlier rate is noise
LOWEST_RATE = 0.1  # a lower rate a second is not shown

Fact = str | int | float | None

log = logging.getLogger(__name__)


class Stage:
    """The line of one stage. `update` may be called often; it draws only if there is something new to see."""

    def __init__(self, progress: Progress, name: str, total: int, unit: str) -> None:
        self.progress = progress
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self.part = 0.0
        self.facts: dict[str, Fact] = {}
        self.note = ""
        self.started = time.monotonic()
        self.printed = self.started

    def update(self, done: int | None = None, *, total: int | None = None, part: float = 0.0, **facts: Fact) -> None:
        """Set the figures of the line.

        Args:
            done: how many of `total` are done; unchanged if None.
            total: how many there are; unchanged if None.
            part: how far (0 to 1) the one in work is, for units that take long.
            **facts: further figures to show (calls, tokens, usd, failed, loss, …); None and "" are not shown.
        """
        self.part = part
        if done is not None:
            self.done = done
        if total is not None:
            self.total = total
        self.facts |= facts
        self.progress.draw(self)

    def finish(self, note: str) -> None:
        """Set the sentence that stays when the stage is done."""
        self.note = note

    def line(self) -> str:
        """Return the line as it is now: done, rate, facts, time left."""
        elapsed = time.monotonic() - self.started
        rate = (self.done + self.part) / elapsed if elapsed > RATE_AFTER_S else 0.0
        parts = [self._count()]
        if rate >= LOWEST_RATE:
            parts.append(f"{rate:,.1f}/s")
        for name, value in self.facts.items():
            if value is not None and value != "":
                parts.append(f"{name} {_figure(name, value)}")
        if rate and self.done < self.total:
            remaining = self.total - self.done - self.part
            parts.append(f"{duration(remaining / rate)} left")
        return f"{self.name:<12} " + " · ".join(parts)

    def _count(self) -> str:
        if self.total:
            return f"{self.done:,}/{self.total:,} {self.unit}"
        return f"{self.done:,} {self.unit}"


class Progress:
    """Prints to `stream` (stderr by default) and logs each line.

    A terminal gets a live line for the stage in work; anything else gets a plain line every `PLAIN_EVERY_S` seconds.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._live: Live | None = None

    @contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "questions") -> Iterator[Stage]:
        """Show stage `name` for the length of the block; its last line stays.

        Args:
            name: name of the stage.
            total: how many units there are; 0 if that is not known yet.
            unit: what is counted, in the plural.

        Yields:
            the stage, to be updated.
        """
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
            elapsed = duration(time.monotonic() - stage.started)
            note = stage.note or f"{stage.done:,} {unit}"
            self.say(f"{name:<12} {note}  [{elapsed}]")

    def say(self, text: str) -> None:
        """Print and log one plain line."""
        self.console.print(Text(text))
        log.info(text)

    def skipped(self, name: str, rows: int) -> None:
        """Say that stage `name` was finished before, with so many rows."""
        self.say(f"{name:<12} {rows:,} rows, finished before")

    def draw(self, stage: Stage) -> None:
        """Show the line of `stage` if a terminal is there to see it, or if it is time for a plain line."""
        if self._live:
            self._live.update(Text(stage.line()))
        elif time.monotonic() - stage.printed >= PLAIN_EVERY_S:
            stage.printed = time.monotonic()
            self.say(stage.line())


def _figure(name: str, value: str | int | float) -> str:
    if isinstance(value, str):
        return value
    if name == "usd":
        return dollars(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3g}"

"""What a journal holds, counted, with a few prompts and answers drawn from it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from raydistill.tables import Row
from raydistill.teacher.journal import Damage, Folder, compaction
from raydistill.teacher.journal.readings import rows
from raydistill.teacher.journal.records import Entry, keys_of, kind_of
from raydistill.teacher.journal.scan import scan


class Group(NamedTuple):
    """What samples are counted by."""

    stage: str
    task: str
    kind: str
    model: str


@dataclass
class Sums:
    """The sums of a group; `unreadable`, `truncated` and `unpriced` count samples."""

    samples: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unreadable: int = 0
    truncated: int = 0
    unpriced: int = 0
    usd: float = 0.0

    def add(self, row: Row) -> None:
        """Add a row of the journal's ENTRIES."""
        self.samples += 1
        self.calls += row["key"] == row["response"]
        self.prompt_tokens += row["prompt_tokens"]
        self.completion_tokens += row["completion_tokens"]
        self.unreadable += bool(row["problem"])
        self.truncated += row["finish_reason"] == "length"
        self.unpriced += row["usd"] is None
        self.usd += row["usd"] or 0.0


class Example(NamedTuple):
    """A request (canonical JSON) and its first answer."""

    task: str
    request: str
    text: str


@dataclass
class Lost:
    """Calls whose outcome is unknown, and the most that they may have taken."""

    calls: int = 0
    usd: float = 0.0
    tokens: int = 0


@dataclass
class Purchases:
    """What a journal holds: sums, calls without a reply by stage, and examples by (stage, kind of call)."""

    sums: dict[Group, Sums] = field(default_factory=lambda: defaultdict(Sums))
    lost: dict[str, Lost] = field(default_factory=lambda: defaultdict(Lost))
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=lambda: defaultdict(list))
    damage: list[Damage] = field(default_factory=list)
    """What is left out."""
    damaged_files: list[str] = field(default_factory=list)
    """Files that are kept because a part of them was damaged when they were sealed."""


def look(folder: Folder, examples: int, seed: int) -> Purchases:
    """Count what a journal holds, and draw `examples` of each stage and kind of call, each as likely as any other."""
    purchases = Purchases()
    drawing = _Drawing(examples, seed, purchases.examples)
    for entry in scan(folder, purchases.damage):
        if keys_of(entry):
            for row in rows(entry):
                purchases.sums[Group(row["stage"], row["task"], row["kind"], row["model"])].add(row)
                if row["request"]:  # the first sample of its reply
                    drawing.offer(row)
        elif kind_of(entry) == "lost":
            _add_lost(purchases.lost[entry["stage"]], entry)
    purchases.damaged_files = [name for name in folder.names() if name.endswith(compaction.DAMAGED)]
    return purchases


def _add_lost(lost: Lost, entry: Entry) -> None:
    usd, tokens = entry["lost"]
    lost.calls += 1
    lost.usd += usd
    lost.tokens += int(tokens)


class _Drawing:
    """Draws examples of each stage and kind of call from a stream of rows (reservoir sampling)."""

    def __init__(self, examples: int, seed: int, drawn: dict[tuple[str, str], list[Example]]) -> None:
        self.examples = examples
        self.drawn = drawn
        self._offered: Counter[tuple[str, str]] = Counter()
        self._rng = random.Random(seed)

    def offer(self, row: Row) -> None:
        """Take a row, or not."""
        drawn_from = (row["stage"], row["kind"])
        drawn = self.drawn[drawn_from]
        place = self._rng.randrange(self._offered[drawn_from] + 1)
        self._offered[drawn_from] += 1
        example = Example(row["task"], row["request"], row["text"] or row["problem"])
        if len(drawn) < self.examples:
            drawn.append(example)
        elif place < self.examples:
            drawn[place] = example

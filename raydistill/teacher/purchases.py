"""What a journal holds, counted, with a few prompts and answers drawn from it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from raydistill.tables import Row, rows
from raydistill.teacher.journal import Folder
from raydistill.teacher.journal.scan import scan

_COLUMNS = [
    "stage",
    "task",
    "kind",
    "model",
    "key",
    "response",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "usd",
    "request",
    "text",
]


class Group(NamedTuple):
    """What samples are counted by."""

    stage: str
    task: str
    kind: str
    model: str


@dataclass
class Sums:
    """The sums of a group; `unpriced` and `truncated` count samples."""

    samples: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: int = 0
    unpriced: int = 0
    usd: float = 0.0

    def add(self, row: Row) -> None:
        """Add a row of the journal's ENTRIES."""
        self.samples += 1
        self.calls += row["key"] == row["response"]
        self.prompt_tokens += row["prompt_tokens"]
        self.completion_tokens += row["completion_tokens"]
        self.truncated += row["finish_reason"] == "length"
        self.unpriced += row["usd"] is None
        self.usd += row["usd"] or 0.0


class Example(NamedTuple):
    """A request (canonical JSON) and its first answer."""

    task: str
    request: str
    text: str


@dataclass
class Purchases:
    """What a journal holds: sums, and examples by (stage, kind of call)."""

    sums: dict[Group, Sums] = field(default_factory=lambda: defaultdict(Sums))
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=lambda: defaultdict(list))


def look(folder: Folder, examples: int, seed: int) -> Purchases:
    """Count a journal's samples, and draw `examples` of each stage and kind of call, each as likely as any other."""
    purchases = Purchases()
    requests: Counter[tuple[str, str]] = Counter()
    rng = random.Random(seed)
    for table in scan(folder, _COLUMNS):
        for row in rows(table):
            group = Group(row["stage"], row["task"], row["kind"], row["model"])
            purchases.sums[group].add(row)
            if not row["request"]:
                continue  # a further sample of its request
            drawn_from = (row["stage"], row["kind"])
            drawn = purchases.examples[drawn_from]
            place = rng.randrange(requests[drawn_from] + 1)  # reservoir sampling
            requests[drawn_from] += 1
            example = Example(row["task"], row["request"], row["text"])
            if len(drawn) < examples:
                drawn.append(example)
            elif place < examples:
                drawn[place] = example
    return purchases

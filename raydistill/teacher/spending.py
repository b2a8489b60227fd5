"""What a run has spent, by its journal: replies, calls whose outcome is unknown, and what was in flight at kills."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from raydistill.teacher import stage_names
from raydistill.teacher.journal import Folder, readings, records
from raydistill.teacher.journal.records import Entry
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.pricing import Price


class Spending(NamedTuple):
    """What a run has spent."""

    replies: Amount
    """What replies took."""
    unknown: Amount
    """What calls may have taken whose outcome is unknown: the most that they could."""

    @property
    def total(self) -> Amount:
        """What counts towards a budget."""
        return self.replies.plus(self.unknown)


def spending(folder: Folder, runs: Collection[str], stage: str = "", price: Price | None = None) -> Spending:
    """Return what a run has spent so far, in `stage` or in all stages.

    Args:
        folder: the journal.
        runs: the run's id, and names that it had in earlier versions.
        stage: one of its stages; "" for all.
        price: of what was bought without a known price.
    """
    stages = stage_names.names(stage)
    replies = NOTHING
    lost = NOTHING
    in_flight: dict[str, tuple[int, Amount]] = {}  # by writer: number of its last note, what it says
    for entry in scan(folder):
        if entry["run"] not in runs or (stage and entry.get("stage") not in stages):
            continue
        kind = records.kind_of(entry)
        if kind == "reply":
            replies = replies.plus(_of_reply(entry, price))
        elif kind == "lost":
            lost = lost.plus(_amount(entry["lost"]))
        elif kind == "open":
            number, _ = in_flight.get(entry["writer"], (0, NOTHING))
            if entry["n"] > number:
                in_flight[entry["writer"]] = entry["n"], _amount(entry["open"])
    unknown = lost
    for _, most in in_flight.values():
        unknown = unknown.plus(most)
    return Spending(replies, unknown)


def _of_reply(entry: Entry, price: Price | None) -> Amount:
    reading = readings.read(entry, price)
    return Amount(reading.usd or 0.0, reading.usage.total)


def _amount(pair: list[float]) -> Amount:
    usd, tokens = pair
    return Amount(usd, int(tokens))

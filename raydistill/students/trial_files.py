"""What a trial leaves in its folder, from which it is known how it ended.

students/<trial>/metrics.json      finished: written last, after the weights in model/
students/<trial>/stopped.json      ended early, because a search said so
students/<trial>/error.txt         failed: why, for the user; traceback.txt for a bug report
students/<trial>/stop              written by a search: the trial ends itself at its next report
students/<trial>/ray/              Ray Train's checkpoints while it trains
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raydistill.runtime.store import Store
from raydistill.students.records import Epoch
from raydistill.students.trial import Trial

METRICS_FILE = "metrics.json"
STOPPED_FILE = "stopped.json"
ERROR_FILE = "error.txt"
TRACEBACK_FILE = "traceback.txt"
STOP_FILE = "stop"
PLACEMENT_GROUP_FILE = "ray/placement_group"
"""The id of the placement group that the trial's workers have."""


@dataclass(frozen=True)
class Metrics:
    """What a finished training says of itself in `metrics.json`."""

    epochs: list[Epoch]
    steps: int
    """Optimiser steps."""
    train_rows: int
    train_tokens: int
    """Tokens of prompts and targets seen in all epochs, without padding."""
    train_seconds: float
    """Without the seconds of opening and saving, over all restarts."""
    truncated_rows: int
    """Training rows that a limit of the settings cut."""
    bf16: bool
    workers: int
    sharding: str


@dataclass(frozen=True)
class Outcome:
    """How a trial ended that did not fail."""

    epochs: list[Epoch]
    stopped: bool = False
    """It ended early, because a search said so."""
    steps: int = 0
    train_seconds: float = 0.0
    train_tokens: int = 0


def write_metrics(trial: Trial, metrics: Metrics, store: Store) -> None:
    """Mark the trial as finished; everything else that it leaves must be there."""
    store.write_text(f"{trial.folder}/{METRICS_FILE}", json.dumps(asdict(metrics), indent=1))


def write_stopped(trial: Trial, epochs: Sequence[Epoch], store: Store) -> None:
    """Mark the trial as ended early after `epochs`."""
    content = {"epochs": [asdict(epoch) for epoch in epochs]}
    store.write_text(f"{trial.folder}/{STOPPED_FILE}", json.dumps(content, indent=1))


def write_error(trial: Trial, message: str, store: Store, traceback: str = "") -> None:
    """Mark the trial as failed: `message` is for the user, `traceback` for a bug report."""
    store.write_text(f"{trial.folder}/{ERROR_FILE}", message)
    if traceback:
        store.write_text(f"{trial.folder}/{TRACEBACK_FILE}", traceback)


def is_finished(trial: Trial, store: Store) -> bool:
    """Return True if the trial was trained to its end."""
    return store.read_text(f"{trial.folder}/{METRICS_FILE}") is not None


def read_outcome(trial: Trial, store: Store) -> Outcome | None:
    """Return what a trial left that was finished or ended early; None if it has to be trained (again)."""
    metrics = store.read_text(f"{trial.folder}/{METRICS_FILE}")
    if metrics is not None:
        content = json.loads(metrics)
        return Outcome(
            epochs=read_epochs(content["epochs"]),
            steps=content["steps"],
            train_seconds=content["train_seconds"],
            train_tokens=content["train_tokens"],
        )
    stopped = store.read_text(f"{trial.folder}/{STOPPED_FILE}")
    if stopped is not None:
        return Outcome(epochs=read_epochs(json.loads(stopped)["epochs"]), stopped=True)
    return None


def read_epochs(content: Iterable[dict[str, Any]]) -> list[Epoch]:
    """Return epochs from what JSON keeps of them."""
    return [Epoch(**fields) for fields in content]


def read_error(trial: Trial, store: Store) -> str:
    """Return why the trial failed; "" if it did not."""
    return store.read_text(f"{trial.folder}/{ERROR_FILE}") or ""


def forget_failures(trials: Sequence[Trial], store: Store) -> None:
    """Before trials are tried again: delete why they failed, and that a search that was killed had stopped them."""
    for trial in trials:
        for name in (ERROR_FILE, TRACEBACK_FILE, STOP_FILE):
            store.delete(f"{trial.folder}/{name}")

"""What a training is given and what it reports while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NotRequired, TypeAlias, TypedDict

from raydistill.students.trial import Trial


class Report(TypedDict):
    """How far a training is; Tune reads `epoch` and `validation_accuracy`."""

    trial: str
    step: int
    steps: int
    """Optimiser steps of the whole training."""
    epoch: int
    """Epochs that are complete."""
    loss: float | None
    """Mean training loss since the last report."""
    validation_accuracy: NotRequired[float]
    """Of the last epoch, 0 … 1; absent if it was not evaluated."""


Reporter: TypeAlias = Callable[[Report, Path | None], None]
"""Takes a report, and the folder of a checkpoint if there is one to keep."""


class FitConfig(TypedDict):
    """What `train.fit` is given, in a Ray Train worker or in this process."""

    trial: Trial
    gpu: bool
    """Train on a GPU."""
    in_process: NotRequired[bool]
    """Train in the caller's process rather than in a Ray Train worker."""
    on_report: NotRequired[Reporter]
    """In process only: called with each report."""

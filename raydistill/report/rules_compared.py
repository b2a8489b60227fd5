"""The robust and the published extraction rules compared: on which answers they differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tables


@dataclass(frozen=True)
class Difference:
    """An answer that one set of rules reads as right and the other as wrong."""

    task: str
    question_id: str
    robust_prediction: str | None
    robust_correct: bool
    published_prediction: str | None
    published_correct: bool


class Compared(NamedTuple):
    """How many answers both rules read, and those on which they differ."""

    answers: int
    differences: list[Difference]


def in_samples(*samples: pa.Table) -> Compared:
    """Compare the rules on SAMPLES; samples whose request failed are no answers."""
    compared = Compared(0, [])
    for table in samples:
        answered = table.filter(pc.equal(table["error"], ""))
        compared = _add(compared, answered, "robust_prediction", "robust_correct")
    return compared


def in_predictions(predictions: pa.Table) -> Compared:
    """Compare the rules on PREDICTIONS, which count by the robust rules."""
    return _add(Compared(0, []), predictions, "prediction", "correct")


def _add(compared: Compared, table: pa.Table, prediction: str, correct: str) -> Compared:
    """Add the rows of a table whose robust columns have these names."""
    columns = ["task", "question_id", prediction, correct, "published_prediction", "published_correct"]
    rows = table.select(columns)
    return Compared(compared.answers + rows.num_rows, compared.differences + list(_differences(rows)))


def _differences(table: pa.Table) -> Iterable[Difference]:
    for row in tables.rows(table):
        difference = Difference(*row.values())
        if bool(difference.robust_correct) != bool(difference.published_correct):
            yield difference

"""Rows of the table EXEMPLARS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from raydistill.tables import EXEMPLARS


class PassedOver(NamedTuple):
    """A question nearer to the centre than the exemplar, and why it is none."""

    question_id: str
    rank: int
    distance: float
    condition: str
    """The first condition that it fails, or "repeated"."""
    reason: str


class ExemplarRow(NamedTuple):
    """An exemplar; the fields are the columns of EXEMPLARS."""

    task: str
    method: str
    cluster: int
    cluster_size: int
    rank: int
    relaxation_level: int
    distance: float
    question_id: str
    question: str
    rationale: str
    answer: str
    passed_over: tuple[PassedOver, ...] = ()


def exemplar_table(rows: Iterable[ExemplarRow]) -> pa.Table:
    """Return EXEMPLARS."""
    table = []
    for row in rows:
        passed_over = [candidate._asdict() for candidate in row.passed_over]
        table.append(row._asdict() | {"passed_over": passed_over})
    return pa.Table.from_pylist(table, EXEMPLARS)

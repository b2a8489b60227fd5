"""Rows of Arrow tables as typed records."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from raydistill import tables

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)
else:
    Record = TypeVar("Record")

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


def read(table: pa.Table, kind: type[Record]) -> list[Record]:
    """Return the rows of `table` as records of the dataclass `kind`, whose fields are columns of the table."""
    # Only these columns become Python objects: tables have long texts.
    names = [field.name for field in fields(kind)]
    return [kind(**row) for row in tables.rows(table.select(names))]


def group(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return the rows by their key, groups in the order of their first rows."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def unique(values: Iterable[Key]) -> list[Key]:
    """Return each value once, in the order of their first appearance."""
    return list(dict.fromkeys(values))

"""What `raydistill.run` returns: where the report is, and the tables of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

import pyarrow as pa

from raydistill.runtime.formatting import percent
from raydistill.runtime.store import Store

SHOWN_COLUMNS = ("task", "split", "student", "method", "degree", "n", "accuracy")


class RunTables(Mapping[str, pa.Table]):
    """The finished tables of a run by name (raydistill/tables.py), each read when it is looked up."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._store.finished():
            raise KeyError(name)
        return self._store.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.finished())

    def __len__(self) -> int:
        return len(self._store.finished())


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_dir: directory or URI of the run.
        report_path: path or URI of `report.html`.
    """

    run_dir: str
    report_path: str

    @property
    def tables(self) -> RunTables:
        """The tables of the run: `result.tables["results"].to_pandas()`."""
        return RunTables(Store(self.run_dir, read_only=True))

    def __str__(self) -> str:
        return f"raydistill run in {self.run_dir}, report: {self.report_path}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: where the report is, and the accuracy of each student."""
        path = escape(self.report_path)
        heading = f"<p>raydistill run: <a href='{path}'>{path}</a></p>"
        if "results" not in self.tables:
            return heading
        header = "".join(f"<th>{name}</th>" for name in SHOWN_COLUMNS)
        rows = []
        for row in self.tables["results"].select(SHOWN_COLUMNS).to_pylist():
            row["accuracy"] = percent(row["accuracy"])
            cells = "".join(f"<td>{escape(str(row[name]))}</td>" for name in SHOWN_COLUMNS)
            rows.append(f"<tr>{cells}</tr>")
        return f"{heading}<table><tr>{header}</tr>{''.join(rows)}</table>"

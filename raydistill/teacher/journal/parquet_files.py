"""The compacted files of a journal, one look-up at a time: texts stay on storage but for a few row groups."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.index import Numbers, short_keys
from raydistill.teacher.journal.records import Answer

CACHED_GROUPS = 16  # decoded row groups that are kept
_ANSWER_COLUMNS = list(Answer._fields)

Columns = dict[str, list[Any]]


class ParquetFiles:
    """Compacted files: opened at the first look-up, decoded one row group at a time."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._group_starts: dict[str, npt.NDArray[np.int64]] = {}  # first row of each row group
        self._open: dict[str, pq.ParquetFile] = {}
        self._groups: OrderedDict[tuple[str, int], Columns] = OrderedDict()

    def add(self, name: str) -> Numbers:
        """Take a file in; return the short keys of its rows."""
        parts = [np.empty(0, np.uint64)]
        with self.folder.fs.open_input_file(self.folder.path_of(name)) as stream:
            file = pq.ParquetFile(stream)
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._group_starts[name] = np.cumsum([0, *sizes[:-1]])
            for batch in file.iter_batches(65536, columns=["key"]):
                parts.append(short_keys(batch.column(0)))
        return np.concatenate(parts)

    def answer(self, name: str, row: int, key: str) -> Answer | None:
        """Return the answer in a row; None if the row is another key's."""
        starts = self._group_starts[name]
        group = int(np.searchsorted(starts, row, "right")) - 1
        columns = self._group(name, group)
        offset = row - int(starts[group])
        values = {column: columns[column][offset] for column in _ANSWER_COLUMNS}
        if values["key"].hex() != key:
            return None
        values["key"] = key
        values["response"] = values["response"].hex()
        return Answer(**values)

    def _group(self, name: str, group: int) -> Columns:
        if (name, group) not in self._groups:
            if name not in self._open:
                stream = self.folder.fs.open_input_file(self.folder.path_of(name))
                self._open[name] = pq.ParquetFile(stream)
            table = self._open[name].read_row_group(group, columns=_ANSWER_COLUMNS)
            self._groups[name, group] = table.to_pydict()
            if len(self._groups) > CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end((name, group))
        return self._groups[name, group]

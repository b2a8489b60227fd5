"""The journal's reading side: answers by key, whether they lie in a segment or in a compacted file."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from raydistill.teacher.journal import segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.index import Index, pack, short_keys, unpack
from raydistill.teacher.journal.records import Answer, decode, sample_of

CACHED_GROUPS = 16  # decoded row groups that are kept
OPEN_SEGMENTS = 64  # local segments that are kept open
_ANSWER_COLUMNS = list(Answer._fields)

Columns = dict[str, list[Any]]


class Reader:
    """Looks answers up by key over all that the folder held at the last `refresh`, and all that was `note`d since.

    Attributes:
        torn: lines that a kill tore or that were damaged, so far.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.torn = 0
        self._index = Index()
        self._names: list[str] = []  # by file number
        self._numbers: dict[str, int] = {}
        self._indexed_bytes: dict[str, int] = {}  # by segment
        self._segments: dict[int, BinaryIO] = {}  # local ones that are open, by file number
        self._parquet = _ParquetFiles(folder)
        self.refresh()

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self) -> None:
        """Take in what other writers have made durable since."""
        vanished = True
        while vanished:  # a segment that was compacted after the folder was listed: look for the file it went into
            vanished = False
            for name in self.folder.names():
                if name.endswith(".parquet") and name not in self._numbers:
                    self._index_parquet(name)
                elif segments.is_segment(name):
                    vanished |= not self._index_segment(name)

    def note(self, keys: list[str], place: tuple[str, int]) -> None:
        """Index a response that this process has just made durable at `place` (file name, offset)."""
        name, offset = place
        packed = pack(self._number(name), offset)
        for key in keys:
            self._index.add(key, packed)

    def get(self, key: str) -> Answer | None:
        """Return the answer under `key`; None if nobody has bought it."""
        place = self._index.find(key)
        if place is None:
            return None
        try:
            return self._read(place, key)
        except FileNotFoundError:  # compacted by somebody meanwhile: look for the file it went into
            self._forget_file(unpack(place)[0])
            self.refresh()
        place = self._index.find(key)
        return None if place is None else self._read(place, key)

    def _read(self, place: int, key: str) -> Answer | None:
        number, position = unpack(place)
        name = self._names[number]
        if not segments.is_segment(name):
            return self._parquet.answer(name, position, key)
        entry = decode(self._line(number, position))
        if entry is None or key not in entry["keys"]:
            return None
        return sample_of(entry, key)

    def _line(self, number: int, offset: int) -> bytes:
        path = self.folder.path_of(self._names[number])
        if not self.folder.is_local:
            with self.folder.fs.open_input_stream(path) as stream:
                content = stream.readall()
            return content[offset:].split(b"\n", 1)[0] + b"\n"
        if number not in self._segments:
            if len(self._segments) > OPEN_SEGMENTS:
                oldest = next(iter(self._segments))
                self._segments.pop(oldest).close()
            self._segments[number] = open(path, "rb")  # noqa: SIM115 (kept open: the next look-up is near)
        segment = self._segments[number]
        segment.seek(offset)
        return segment.readline()

    def _index_parquet(self, name: str) -> None:
        keys = self._parquet.add(name)
        first_place = np.uint64(pack(self._number(name), 0))
        rows = np.arange(len(keys), dtype=np.uint64)
        self._index.add_many(keys, rows | first_place)

    def _index_segment(self, name: str) -> bool:
        """Index the lines of a segment that came since it was last read; False if it is gone."""
        start = self._indexed_bytes.get(name, 0)
        try:
            for offset, entry in segments.read(self.folder, name, start):
                if entry is None:
                    self.torn += 1
                    continue
                self.note(entry["keys"], (name, offset))
                self._indexed_bytes[name] = offset + 1  # a later refresh re-reads this last line at most
        except FileNotFoundError:
            return False
        return True

    def _forget_file(self, number: int) -> None:
        self._index.drop_file(number)
        self._indexed_bytes.pop(self._names[number], None)
        segment = self._segments.pop(number, None)
        if segment is not None:
            segment.close()

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]


class _ParquetFiles:
    """Compacted files: opened at the first look-up, decoded one row group at a time."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._group_starts: dict[str, npt.NDArray[np.int64]] = {}  # first row of each row group
        self._open: dict[str, pq.ParquetFile] = {}
        self._groups: OrderedDict[tuple[str, int], Columns] = OrderedDict()

    def add(self, name: str) -> npt.NDArray[np.uint64]:
        """Take a file in; returns the short keys of its rows."""
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

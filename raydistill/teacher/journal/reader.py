"""The journal's reading side: answers by key, whether they lie in a segment or in a compacted file."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from raydistill.teacher.journal import segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.index import Index, pack, unpack
from raydistill.teacher.journal.parquet_files import ParquetFiles
from raydistill.teacher.journal.records import Answer, decode, sample_of

OPEN_SEGMENTS = 64  # local segments that are kept open


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
        self._parquet = ParquetFiles(folder)
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

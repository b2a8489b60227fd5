"""The files of a journal by number, kept open while they are read, and what stands at a place in them."""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from typing import IO

from raydistill.teacher.journal import parquet_v1, sealed, segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.frames import Frames
from raydistill.teacher.journal.index import unpack
from raydistill.teacher.journal.problems import Damage
from raydistill.teacher.journal.records import Entry, decode, encode, keys_of

OPEN_FILES = 64  # that are kept open


class FileGone(Exception):
    """A segment was sealed after it was indexed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class DamageNoted(dict[tuple[str, int], Damage]):
    """Damage by file and offset: each is noted once, however often it is met."""

    def note(self, damage: Damage) -> None:
        """Note one."""
        self[damage.file, damage.offset] = damage


class StoredFiles:
    """A journal's files, for look-ups: a file has a number, from the first time that it is named."""

    def __init__(self, folder: Folder, damage: DamageNoted) -> None:
        self.folder = folder
        self.damage = damage
        self._names: list[str] = []  # by number
        self._numbers: dict[str, int] = {}
        self._open: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._images: dict[str, io.BytesIO] = {}  # of compacted files of version 1, as sealed ones
        self._frames = Frames()

    def number(self, name: str) -> int:
        """Return the number of a file."""
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def name(self, number: int) -> str:
        """Return the name of a file."""
        return self._names[number]

    def headers(self, name: str) -> list[sealed.Header]:
        """Return the headers of a sealed file, or of a compacted one of version 1, which is sealed in memory first.

        Raises:
            FileNotFoundError: it was sealed meanwhile.
        """
        damage: list[Damage] = []
        if parquet_v1.is_parquet(name) and name not in self._images:
            image = io.BytesIO()
            entries = parquet_v1.entries(self.folder, name, damage)
            sealed.write(image, ((encode(entry), keys_of(entry)) for entry in entries))
            self._images[name] = image
        with self._opened(name, sealed.SCAN_BUFFER_BYTES) as stream:
            headers = list(sealed.headers(stream, name, damage))
        for item in damage:
            self.damage.note(item)
        return headers

    def frame(self, name: str, header: sealed.Header) -> bytes:
        """Return the lines of a frame that is read once; b"" if they are damaged."""
        with self._opened(name) as stream:
            return self._whole(sealed.read(stream, name, header))

    def entries(self, place: int, key: str, count: int) -> list[Entry]:
        """Return what stands under `key` at a place.

        Args:
            place: a line of a segment, or a frame of a sealed file.
            key: the key.
            count: how often it stands there.

        Raises:
            FileGone: the segment was sealed meanwhile.
        """
        number, offset = unpack(place)
        if segments.is_segment(self._names[number]):
            entry = self._entry(number, offset)
            return [entry] if entry is not None and key in keys_of(entry) else []
        frame = self._frames.get(place)
        if frame is None:
            lines = sealed.read_at(self._stream(number), self._names[number], offset)
            frame = self._frames.add(place, self._whole(lines))
        return frame.entries(key, count)

    def close(self, number: int) -> None:
        """Close a file."""
        stream = self._open.pop(number, None)
        if stream is not None:
            stream.close()

    def _entry(self, number: int, offset: int) -> Entry | None:
        """Return the entry of a line; if it is damaged, look at the file anew: what is buffered may be old."""
        for _ in range(2):
            stream = self._stream(number)
            stream.seek(offset)
            entry = decode(stream.readline())
            if entry is not None:
                return entry
            self.close(number)
        self.damage.note(segments.damaged_line(self._names[number], offset))
        return None

    def _whole(self, lines: bytes | Damage) -> bytes:
        if isinstance(lines, Damage):
            self.damage.note(lines)
            return b""
        return lines

    def _stream(self, number: int) -> IO[bytes]:
        """Return an open file, which is kept open: the next look-up is near."""
        name = self._names[number]
        if name in self._images:
            return self._images[name]
        if number not in self._open:
            if len(self._open) >= OPEN_FILES:
                _, oldest = self._open.popitem(last=False)
                oldest.close()
            try:
                self._open[number] = self.folder.open(name)
            except FileNotFoundError:
                raise FileGone(number) from None
        self._open.move_to_end(number)
        return self._open[number]

    def _opened(self, name: str, buffer_bytes: int | None = None) -> contextlib.AbstractContextManager[IO[bytes]]:
        if name in self._images:
            return contextlib.nullcontext(self._images[name])
        return self.folder.open(name) if buffer_bytes is None else self.folder.open(name, buffer_bytes)

"""Decompressed frames of sealed files: a few are kept, since the next look-up is mostly near the last one."""

from __future__ import annotations

from collections import OrderedDict

from raydistill.teacher.journal.records import Entry, decode, keys_of

KEPT_BYTES = 4 << 20


class Frame:
    """The lines of a frame. Finding one decodes no other: its key is searched in the bytes first."""

    def __init__(self, lines: bytes) -> None:
        self.lines = lines
        self._near = 0  # where the line begins that was returned last

    def entries(self, key: str, count: int) -> list[Entry]:
        """Return up to `count` entries that hold `key`."""
        sought = b'"%s"' % key.encode()
        entries: list[Entry] = []
        near = self._near
        for begin, end in ((near, len(self.lines)), (0, near)):
            while len(entries) < count:
                position = self.lines.find(sought, begin, end)
                if position < 0:
                    break
                line_begin = self.lines.rfind(b"\n", 0, position) + 1
                begin = self.lines.index(b"\n", position) + 1
                entry = decode(self.lines[line_begin:begin])
                if entry is not None and key in keys_of(entry):
                    entries.append(entry)
                    self._near = line_begin
        return entries


class Frames:
    """The frames that were read last, by place; KEPT_BYTES of them, or the last one alone."""

    def __init__(self) -> None:
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._size = 0

    def get(self, place: int) -> Frame | None:
        """Return the frame at `place`, if it is kept."""
        frame = self._frames.get(place)
        if frame is not None:
            self._frames.move_to_end(place)
        return frame

    def add(self, place: int, lines: bytes) -> Frame:
        """Keep and return the frame of `lines` at `place`."""
        frame = self._frames[place] = Frame(lines)
        self._size += len(lines)
        while self._size > KEPT_BYTES and len(self._frames) > 1:
            _, dropped = self._frames.popitem(last=False)
            self._size -= len(dropped.lines)
        return frame

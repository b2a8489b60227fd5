"""Sealed files: the lines of segments that nobody writes any more, compressed, with their keys beside them.

A sealed file is a sequence of frames of about 128 kB of lines each:

    header    a skippable frame of the zstd format:
              magic 5D 2A 4D 18, size of what follows (4 bytes)
              tag "RDSEALED"; of the lines: compressed bytes, bytes, CRC-32 of the compressed bytes, number of keys n
              (4 bytes each); the first 8 bytes of each of their n keys; CRC-32 of the header so far (4 bytes)
    lines     a zstd frame: the lines byte for byte, each with its checksum

Numbers are little-endian. So `zstdcat` prints the lines, an index needs the headers alone, and a look-up decompresses
one frame. Where a header is damaged, the next one is searched. Replies and notes (lines without keys) have frames of
their own, so that who needs the notes alone reads no replies.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Protocol

import numpy as np
import pyarrow as pa

from raydistill.teacher.journal.index import Numbers, short_key
from raydistill.teacher.journal.problems import Damage

FRAME_BYTES = 128 << 10  # of lines; a longer line is a frame of its own
SCAN_BUFFER_BYTES = 1 << 22  # that are asked of remote storage at once when a file is read from end to end
_MAGIC = 0x184D2A5D
_TAG = b"RDSEALED"
_FIXED = struct.Struct("<II8sIIII")  # a header but for the keys and its checksum
_CHECKSUM = struct.Struct("<I")
_BEFORE_SIZED = 8  # bytes that the size of a skippable frame does not count: magic and size
_SEARCH_BYTES = 1 << 20
_LEVEL = 3  # of compression


class Header:
    """What is known of a frame without decompressing it.

    Attributes:
        offset: of the frame in the file.
        end: offset of what follows the frame.
        keys: first 8 bytes of each key of its lines; empty if they are notes.
    """

    def __init__(self, offset: int, fixed: bytes, keys: Numbers) -> None:
        _, _, _, self.compressed_bytes, self.raw_bytes, self.checksum, _ = _FIXED.unpack(fixed)
        self.offset = offset
        self.keys = keys
        self.data_offset = offset + _FIXED.size + keys.nbytes + _CHECKSUM.size
        self.end = self.data_offset + self.compressed_bytes


class Stream(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""


def is_sealed(name: str) -> bool:
    """Return True if `name` is that of a sealed file."""
    return name.startswith("sealed-") and name.endswith(".zst")


def write(stream: Stream, lines: Iterable[tuple[bytes, list[str]]]) -> int:
    """Write lines, each with its keys (hexadecimal; [] for a note), as frames; return the number of keys."""
    replies = _Frame()
    notes = _Frame()
    count = 0
    for line, keys in lines:
        frame = replies if keys else notes
        if frame.size and frame.size + len(line) > FRAME_BYTES:
            stream.write(frame.sealed())
            frame.clear()
        frame.add(line, keys)
        count += len(keys)
    for frame in (replies, notes):
        if frame.size:
            stream.write(frame.sealed())
    return count


def headers(stream: IO[bytes], name: str, damage: list[Damage]) -> Iterator[Header]:
    """Yield the headers of a sealed file; where one is damaged, add that to `damage` and go on at the next whole one.

    Args:
        stream: the file.
        name: its name, for `damage`.
        damage: gets what is left out.
    """
    end = stream.seek(0, 2)
    offset = 0
    while offset < end:
        header = _read_header(stream, offset, end)
        if header is None:
            damage.append(Damage(name, offset, "the header of a frame is damaged, and its lines are left out"))
            header = _search_header(stream, offset + 1, end)
            if header is None:
                return
        yield header
        offset = header.end


def read(stream: IO[bytes], name: str, header: Header) -> bytes | Damage:
    """Return the lines of a frame, or what is wrong with it."""
    stream.seek(header.data_offset)
    compressed = stream.read(header.compressed_bytes)
    if zlib.crc32(compressed) != header.checksum:
        return Damage(name, header.offset, "the lines of a frame are damaged and left out")
    lines: bytes = _codec().decompress(compressed, header.raw_bytes, asbytes=True)
    return lines


def read_at(stream: IO[bytes], name: str, offset: int) -> bytes | Damage:
    """Return the lines of the frame at `offset`, or what is wrong with it."""
    header = _read_header(stream, offset, stream.seek(0, 2))
    if header is None:
        return Damage(name, offset, "the header of a frame is damaged, and its lines are left out")
    return read(stream, name, header)


class _Frame:
    """Lines that are gathered for one frame."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.size = 0
        self._lines: list[bytes] = []
        self._keys: list[int] = []

    def add(self, line: bytes, keys: list[str]) -> None:
        self.size += len(line)
        self._lines.append(line)
        self._keys += map(short_key, keys)

    def sealed(self) -> bytes:
        """Return the frame with its header."""
        compressed = _codec().compress(b"".join(self._lines), asbytes=True)
        keys = np.array(self._keys, "<u8").tobytes()
        header = _FIXED.pack(
            _MAGIC,
            _FIXED.size - _BEFORE_SIZED + len(keys) + _CHECKSUM.size,
            _TAG,
            len(compressed),
            self.size,
            zlib.crc32(compressed),
            len(self._keys),
        )
        header += keys
        return header + _CHECKSUM.pack(zlib.crc32(header)) + compressed


def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)


def _read_header(stream: IO[bytes], offset: int, end: int) -> Header | None:
    """Return the header at `offset` in a file of `end` bytes; None if there is none, or it is damaged or cut."""
    stream.seek(offset)
    fixed = stream.read(_FIXED.size)
    if len(fixed) < _FIXED.size:
        return None
    magic, _, tag, compressed_bytes, _, _, key_count = _FIXED.unpack(fixed)
    rest_bytes = 8 * key_count + _CHECKSUM.size
    if (magic, tag) != (_MAGIC, _TAG) or offset + _FIXED.size + rest_bytes + compressed_bytes > end:
        return None
    rest = stream.read(rest_bytes)
    keys = rest[: -_CHECKSUM.size]
    if zlib.crc32(fixed + keys) != _CHECKSUM.unpack(rest[len(keys) :])[0]:
        return None
    return Header(offset, fixed, np.frombuffer(keys, "<u8").astype(np.uint64))


def _search_header(stream: IO[bytes], start: int, end: int) -> Header | None:
    """Return the first whole header that begins at `start` or later; None if there is none."""
    sought = _MAGIC.to_bytes(4, "little")
    position = start
    while position < end:
        stream.seek(position)
        block = stream.read(_SEARCH_BYTES)
        hit = block.find(sought)
        while hit >= 0:
            header = _read_header(stream, position + hit, end)
            if header is not None:
                return header
            hit = block.find(sought, hit + 1)
        position += max(1, len(block) - len(sought) + 1)
    return None

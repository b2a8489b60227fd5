"""The index of a journal's reader: 16 bytes an entry, from the first 8 bytes of a key to a place.

A place is one integer: the number of a file, and in its lower 40 bits the byte offset of a line (segments) or the row
(Parquet files).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FOLD_AT = 50_000  # recent entries before they are merged into the sorted arrays
_POSITION_BITS = 40
_POSITION_MASK = (1 << _POSITION_BITS) - 1
_EMPTY = np.empty(0, np.uint64)

Numbers = npt.NDArray[np.uint64]


def pack(file: int, position: int) -> int:
    """Return the place of `position` in file number `file`."""
    return file << _POSITION_BITS | position


def unpack(place: int) -> tuple[int, int]:
    """Return (file number, position) of a place."""
    return place >> _POSITION_BITS, place & _POSITION_MASK


def short_key(key: str) -> int:
    """Return the first 8 bytes of a hexadecimal key as a number."""
    return int(key[:16], 16)


def short_keys(column: pa.Array) -> Numbers:
    """Return the first 8 bytes of each key of a fixed_size_binary(32) column as numbers, as `short_key` does."""
    raw = np.frombuffer(column.buffers()[1], np.uint8, 32 * len(column), 32 * column.offset)
    leading = raw.reshape(-1, 32)[:, :8].copy()
    return leading.view(">u8").ravel().astype(np.uint64)


class Index:
    """Places by short key: sorted arrays, and a dict of those added since they were last sorted.

    Two keys may share their first 8 bytes: whoever reads a place compares the whole key.
    """

    def __init__(self) -> None:
        self._keys: Numbers = _EMPTY  # sorted
        self._places: Numbers = _EMPTY
        self._recent: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def add(self, key: str, place: int) -> None:
        """Index one hexadecimal key."""
        self._recent[short_key(key)] = place
        if len(self._recent) >= FOLD_AT:
            self.add_many(_EMPTY, _EMPTY)

    def add_many(self, keys: Numbers, places: Numbers) -> None:
        """Index many short keys at once, and sort those added one by one in with them."""
        count = len(self._recent)
        recent_keys = np.fromiter(self._recent.keys(), np.uint64, count)
        recent_places = np.fromiter(self._recent.values(), np.uint64, count)
        all_keys = np.concatenate([self._keys, keys, recent_keys])
        all_places = np.concatenate([self._places, places, recent_places])
        order = np.argsort(all_keys, kind="stable")
        self._keys = all_keys[order]
        self._places = all_places[order]
        self._recent = {}

    def find(self, key: str) -> int | None:
        """Return the place of a hexadecimal key; None if it is not indexed."""
        short = short_key(key)
        place = self._recent.get(short)
        if place is not None:
            return place
        row = int(np.searchsorted(self._keys, np.uint64(short)))
        if row < len(self._keys) and int(self._keys[row]) == short:
            return int(self._places[row])
        return None

    def drop_file(self, file: int) -> None:
        """Remove every place in file number `file`."""
        kept = self._places >> np.uint64(_POSITION_BITS) != file
        self._keys = self._keys[kept]
        self._places = self._places[kept]
        self._recent = {key: place for key, place in self._recent.items() if unpack(place)[0] != file}

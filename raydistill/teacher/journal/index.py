"""The index of a journal's reader: 16 bytes an entry, from the first 8 bytes of a key to a place.

A place is one integer: the number of a file, and in its lower 40 bits the byte offset of a line (segments) or of a
frame (sealed files).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

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


def joined(parts: Iterable[Numbers]) -> Numbers:
    """Return arrays of numbers as one."""
    return np.concatenate([_EMPTY, *parts])


class Index:
    """Places by short key: sorted arrays, and a dict of those added since they were last sorted.

    A key may stand at several places. Two keys may share their first 8 bytes: whoever reads a place compares the whole
    key.
    """

    def __init__(self) -> None:
        self._keys: Numbers = _EMPTY  # sorted
        self._places: Numbers = _EMPTY
        self._recent: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """Return the number of short keys."""
        self._sort_in(_EMPTY, _EMPTY)
        return len(np.unique(self._keys))

    def add(self, key: str, place: int) -> None:
        """Index one hexadecimal key."""
        short = short_key(key)
        places = self._recent.get(short, ())
        if place not in places:
            self._recent[short] = (*places, place)
        if len(self._recent) >= FOLD_AT:
            self._sort_in(_EMPTY, _EMPTY)

    def add_many(self, keys: Numbers, places: Numbers) -> None:
        """Index many short keys at once."""
        self._sort_in(keys, places)

    def find(self, key: str) -> list[int]:
        """Return the places of a hexadecimal key, those indexed first first; one that holds it twice comes twice."""
        short = short_key(key)
        places = []
        row = int(np.searchsorted(self._keys, np.uint64(short)))
        while row < len(self._keys) and int(self._keys[row]) == short:
            places.append(int(self._places[row]))
            row += 1
        return places + list(self._recent.get(short, ()))

    def drop_file(self, file: int) -> None:
        """Remove every place in file number `file`."""
        self._sort_in(_EMPTY, _EMPTY)
        kept = self._places >> np.uint64(_POSITION_BITS) != file
        self._keys = self._keys[kept]
        self._places = self._places[kept]

    def _sort_in(self, keys: Numbers, places: Numbers) -> None:
        """Sort short keys and their places in, and those that were added one by one."""
        recent_keys: list[int] = []
        recent_places: list[int] = []
        for key, key_places in self._recent.items():
            recent_keys += [key] * len(key_places)
            recent_places += key_places
        all_keys = np.concatenate([self._keys, keys, np.array(recent_keys, np.uint64)])
        all_places = np.concatenate([self._places, places, np.array(recent_places, np.uint64)])
        order = np.argsort(all_keys, kind="stable")
        self._keys = all_keys[order]
        self._places = all_places[order]
        self._recent = {}

"""The journal of paid answers: every response is durable here before anything depends on it.

    <folder>/JOURNAL.json            format and version, written first
    <folder>/segment-*.jsonl         appended by one writer each: `<crc32> <JSON>` a line, one line per response
    <folder>/entries-*.parquet       compacted segments: one row per sample

A line that a kill tore is recognised (no newline, or a checksum that does not fit) and dropped. Local folders (NFS too)
are appended to and synced in groups of a few milliseconds; on a `pyarrow.fs` URI, which cannot append, a group is a new
object every few seconds. Look-ups go through an index of 16 bytes an entry; texts stay on storage.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raydistill.runtime.errors import UserError, storage_error
from raydistill.teacher.journal.records import ENTRIES, Answer, decode, encode, sample_of

FORMAT, VERSION = "raydistill-journal", 1
GROUP_ROWS = 512  # rows of a Parquet row group: what one look-up has to decode
KEPT_GROUPS = 16  # decoded row groups that a reader keeps
FOLD_AT = 50_000  # recent entries before they are folded into the sorted index
LOCAL_EVERY_S, REMOTE_EVERY_S, REMOTE_LINES = 0.01, 2.0, 256

_LOOKED_UP = [name for name in ENTRIES.names if name not in ("run", "stage", "task", "kind", "time", "request")]


class JournalError(UserError):
    """The journal cannot be used or written: a newer version, another format, a full disk."""


class Folder:
    """A journal's place: a local path or a `pyarrow.fs` URI. JournalError where it holds something else.

    With `read_only` nothing is made there, and one that does not exist is an empty one.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self.id = ""  # tells one journal from another under the same path on another machine
        try:
            self.fs: pafs.FileSystem
            self.root: str
            self.fs, self.root = pafs.FileSystem.from_uri(path) if "://" in path else (pafs.LocalFileSystem(), path)
            if not read_only:
                self.fs.create_dir(self.root, recursive=True)
            self._claim(read_only)
        except (OSError, pa.ArrowInvalid) as error:
            raise JournalError(
                f"The journal {path} cannot be opened: {error}", "Give another one with --teacher.journal."
            ) from None

    @property
    def is_local(self) -> bool:
        return isinstance(self.fs, pafs.LocalFileSystem)

    def names(self) -> list[str]:
        found = self.fs.get_file_info(pafs.FileSelector(self.root, allow_not_found=True))
        return sorted(f.base_name for f in found if f.type == pafs.FileType.File)

    def _claim(self, read_only: bool) -> None:
        marker, names = f"{self.root}/JOURNAL.json", self.names()
        text = b""
        if "JOURNAL.json" in names:
            with self.fs.open_input_stream(marker) as stream:
                text = stream.readall()
        if text:  # an empty marker is one that a kill cut short
            try:
                found = json.loads(text)
                known = found["format"] == FORMAT
                version, self.id = int(found["version"]), str(found.get("id", ""))
            except (ValueError, KeyError, TypeError):
                known, version = False, 0
            if not known:
                raise JournalError(
                    f"{marker} is not the marker of a raydistill journal: {text[:80]!r}",
                    "Give another folder with --teacher.journal; nothing was changed.",
                )
            if version > VERSION:
                raise JournalError(
                    f"The journal {self.path} has version {version}; this raydistill reads up to {VERSION}.",
                    "Update raydistill, or give another folder with --teacher.journal; nothing was changed.",
                )
        elif {*names} - {"JOURNAL.json"}:
            raise JournalError(
                f"The folder {self.path} is no raydistill journal: it has files ({names[0]}) but no JOURNAL.json.",
                "Give an empty or new folder with --teacher.journal; nothing was changed.",
            )
        elif not read_only:
            self.id = uuid.uuid4().hex
            with self.fs.open_output_stream(marker) as stream:
                stream.write(json.dumps({"format": FORMAT, "version": VERSION, "id": self.id}).encode())


class Writer:
    """Appends to one segment of its own; use it from one event loop.

    On a local folder the segment carries an advisory lock while the writer lives, so that nobody compacts it.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.name = _segment_name()
        self._lines: list[bytes] = []
        self._flush: asyncio.Task[list[tuple[str, int]]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._file = -1
        self._end = self._objects = 0

    async def append(self, entry: dict[str, Any]) -> tuple[str, int]:
        """Make `entry` durable; returns its place (file, offset). JournalError where storage refuses."""
        self._lines.append(encode(entry))
        position = len(self._lines) - 1
        if self._flush is None:
            self._flush = asyncio.ensure_future(self._flush_soon())
        places = await asyncio.shield(self._flush)
        return places[position]

    async def _flush_soon(self) -> list[tuple[str, int]]:
        if self.folder.is_local:
            await asyncio.sleep(LOCAL_EVERY_S)
        else:
            deadline = time.monotonic() + REMOTE_EVERY_S
            while len(self._lines) < REMOTE_LINES and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
        lines, self._lines, self._flush = self._lines, [], None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, lines)
        except OSError as error:
            raise JournalError(*storage_error(f"the journal {self.folder.path}", error)) from None

    def _write(self, lines: list[bytes]) -> list[tuple[str, int]]:
        ends = np.cumsum([0, *map(len, lines)])
        data = b"".join(lines)
        if not self.folder.is_local:
            name = f"{self.name}-{self._objects:06d}.jsonl"
            with self.folder.fs.open_output_stream(f"{self.folder.root}/{name}") as stream:
                stream.write(data)
            self._objects += 1
            return [(name, int(end)) for end in ends[:-1]]
        if self._file < 0:
            self._start()
        name = f"{self.name}.jsonl"
        start, left = self._end, memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)  # a later line must not be glued to half of this one
            raise
        self._end += len(data)
        return [(name, start + int(end)) for end in ends[:-1]]

    def _start(self) -> None:
        """A new segment under its lock; yet another where a compaction took it before it was locked."""
        while self._file < 0:
            self.name = _segment_name()
            path = f"{self.folder.root}/{self.name}.jsonl"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            if lock(descriptor, path) is False:
                os.close(descriptor)
            else:
                self._file = descriptor
        sync(self.folder.root)

    def close(self) -> None:
        """Let go of the segment; appends that were awaited are durable already."""
        self._thread.shutdown(wait=True)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Reader:
    """Looks answers up by key over all that the folder held at the last `refresh`, and all that was `note`d since."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._files: list[str] = []  # file number -> name
        self._numbers: dict[str, int] = {}
        self._starts: dict[int, np.ndarray] = {}  # Parquet file -> first row of each row group
        self._seen: dict[str, int] = {}  # segment -> bytes indexed
        self._keys = np.empty(0, np.uint64)  # sorted first 8 bytes of the keys
        self._places = np.empty(0, np.uint64)  # file number << 40 | offset (segments) or row (Parquet)
        self._recent: dict[int, int] = {}
        self._groups: OrderedDict[tuple[int, int], dict[str, list[Any]]] = OrderedDict()
        self._open: dict[int, Any] = {}
        self.torn = 0
        self.refresh()

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def refresh(self) -> None:
        """Take in what other writers have made durable since."""
        vanished = True
        while vanished:  # a segment that was compacted after the folder was listed: look for the file it went into
            vanished = False
            for name in self.folder.names():
                if name.endswith(".parquet") and name not in self._numbers:
                    self._take_parquet(name)
                elif is_segment(name):
                    vanished |= not self._take_segment(name)

    def note(self, keys: list[str], place: tuple[str, int]) -> None:
        """Index a response that this process has just made durable."""
        packed = self._place(*place)
        for key in keys:
            self._recent[_short(key)] = packed
        if len(self._recent) >= FOLD_AT:
            self._fold(np.empty(0, np.uint64), np.empty(0, np.uint64))

    def get(self, key: str) -> Answer | None:
        """The answer under `key`; None where nobody has bought it."""
        for again in (False, True):
            place = self._find(key)
            if place is None:
                return None
            try:
                return self._fetch(place, key)
            except FileNotFoundError:  # compacted by somebody meanwhile
                if again:
                    raise
                self._forget(place >> 40)
                self.refresh()
        return None

    def _find(self, key: str) -> int | None:
        short = _short(key)
        if (place := self._recent.get(short)) is not None:
            return place
        i = int(np.searchsorted(self._keys, np.uint64(short)))
        return int(self._places[i]) if i < len(self._keys) and int(self._keys[i]) == short else None

    def _fetch(self, place: int, key: str) -> Answer | None:
        number, position = place >> 40, place & (1 << 40) - 1
        name = self._files[number]
        if name.endswith(".jsonl"):
            entry = decode(self._line(number, position))
            return sample_of(entry, key) if entry and key in entry["keys"] else None
        group = int(np.searchsorted(self._starts[number], position, "right")) - 1
        columns = self._group(number, group)
        row = {name: columns[name][position - int(self._starts[number][group])] for name in _LOOKED_UP}
        if row["key"].hex() != key:
            return None
        return Answer(**row | {"key": key, "response": row["response"].hex()})

    def _line(self, number: int, offset: int) -> bytes:
        path = f"{self.folder.root}/{self._files[number]}"
        if not self.folder.is_local:
            with self.folder.fs.open_input_stream(path) as stream:
                return stream.readall()[offset:].split(b"\n", 1)[0] + b"\n"
        if number not in self._open:
            if len(self._open) > 64:
                self._open.pop(next(iter(self._open))).close()
            self._open[number] = open(path, "rb")  # noqa: SIM115 (kept open: the next look-up is near)
        self._open[number].seek(offset)
        return self._open[number].readline()

    def _group(self, number: int, group: int) -> dict[str, list[Any]]:
        if (number, group) not in self._groups:
            if number not in self._open:
                stream = self.folder.fs.open_input_file(f"{self.folder.root}/{self._files[number]}")
                self._open[number] = pq.ParquetFile(stream)
            table = self._open[number].read_row_group(group, columns=_LOOKED_UP)
            self._groups[number, group] = table.to_pydict()
            if len(self._groups) > KEPT_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end((number, group))
        return self._groups[number, group]

    def _take_parquet(self, name: str) -> None:
        number = self._number(name)
        keys = []
        with self.folder.fs.open_input_file(f"{self.folder.root}/{name}") as stream:
            file = pq.ParquetFile(stream)
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            self._starts[number] = np.cumsum([0, *groups[:-1]])
            for batch in file.iter_batches(65536, columns=["key"]):
                keys.append(short_keys(batch.column(0)))
        if keys:
            found = np.concatenate(keys)
            places = np.arange(len(found), dtype=np.uint64) | np.uint64(number << 40)
            self._fold(found, places)

    def _take_segment(self, name: str) -> bool:
        start = self._seen.get(name, 0)
        try:
            for offset, entry in read_segment(self.folder, name, start):
                if entry is None:
                    self.torn += 1
                    continue
                packed = self._place(name, offset)
                for key in entry["keys"]:
                    self._recent[_short(key)] = packed
                self._seen[name] = offset + 1  # a later refresh re-reads this last line at most
        except FileNotFoundError:
            return False
        if len(self._recent) >= FOLD_AT:
            self._fold(np.empty(0, np.uint64), np.empty(0, np.uint64))
        return True

    def _fold(self, keys: np.ndarray, places: np.ndarray) -> None:
        n = len(self._recent)
        recent = np.fromiter(self._recent.keys(), np.uint64, n), np.fromiter(self._recent.values(), np.uint64, n)
        keys = np.concatenate([self._keys, keys, recent[0]])
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._places = np.concatenate([self._places, places, recent[1]])[order]
        self._recent = {}

    def _forget(self, number: int) -> None:
        kept = self._places >> np.uint64(40) != number
        self._keys, self._places = self._keys[kept], self._places[kept]
        self._recent = {key: place for key, place in self._recent.items() if place >> 40 != number}
        self._seen.pop(self._files[number], None)
        self._open.pop(number, None)

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._files)
            self._files.append(name)
        return self._numbers[name]

    def _place(self, name: str, position: int) -> int:
        return self._number(name) << 40 | position


def read_segment(folder: Folder, name: str, start: int = 0) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(offset, record) of each whole line from byte `start` on; the record is None for a torn line."""
    path = f"{folder.root}/{name}"
    with open(path, "rb") if folder.is_local else _whole(folder, path) as stream:
        if start:  # inside the last line that was read: go on after it
            stream.seek(start)
            start += len(stream.readline())
        while line := stream.readline():
            yield start, decode(line)
            start += len(line)


def _whole(folder: Folder, path: str) -> IO[bytes]:
    """A remote segment (a few hundred lines) in memory: Arrow's files have no lines."""
    with folder.fs.open_input_stream(path) as stream:
        return io.BytesIO(stream.readall())


def is_segment(name: str) -> bool:
    return name.startswith("segment-") and name.endswith(".jsonl")


def _segment_name() -> str:
    return f"segment-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}"


def _short(key: str) -> int:
    return int(key[:16], 16)


def short_keys(column: pa.Array) -> np.ndarray:
    """The first 8 bytes of each key as a number, as `_short` has it."""
    raw = np.frombuffer(column.buffers()[1], np.uint8, 32 * len(column), 32 * column.offset)
    return raw.reshape(-1, 32)[:, :8].copy().view(">u8").ravel().astype(np.uint64)


def lock(descriptor: int, path: str) -> bool | None:
    """Take a segment's advisory lock.

    False where somebody else has it, or the file is no longer the one at `path`: it was compacted meanwhile. None where
    there are no locks (Windows, some NFS): then nobody compacts.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def sync(path: str) -> None:
    """Make a file's content, or a folder's list of files, durable."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Compaction: it may be killed, repeated, or run twice at once; what is damaged is kept; what the dead left goes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from support.journals import append, entries, entry, file_of, note, place, texts_of, write

from raydistill.teacher.journal import Damage, Folder, JournalError, Reader, Writer, compaction, room
from raydistill.teacher.journal import writer as journal_writer
from raydistill.teacher.journal.records import Entry
from raydistill.teacher.journal.scan import scan

KINDS = pytest.mark.parametrize("kind", ["local", "remote"])


@pytest.fixture(autouse=True)
def _no_gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "REMOTE_FLUSH_S", 0.0)


def test_the_lines_are_sealed_byte_for_byte(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    write(folder, [*entries(300), note(1)]).close()
    lines = file_of(tmp_path, "segment-*.jsonl").read_bytes()
    assert compaction.compact(folder) == 300
    assert [name[:6] for name in folder.names()] == ["JOURNA", "sealed"]
    with pa.CompressedInputStream(pa.OSFile(str(file_of(tmp_path, "sealed-*.zst"))), "zstd") as stream:
        assert stream.read() == lines


@KINDS
def test_compacting_twice_and_an_interrupted_compaction_change_nothing(tmp_path: Path, kind: str) -> None:
    folder, replies = place(tmp_path, kind), entries(50)
    write(folder, [*replies, note(1), note(2)]).close()
    segment = file_of(tmp_path, "segment-*.jsonl")
    kept = segment.read_bytes()
    assert compaction.compact(folder) == 50
    segment.write_bytes(kept)  # killed between the sealed file and the deletion
    texts = [f"text {i}" for i in range(50)]
    for _ in range(3):
        assert list(scan(folder)) == [*replies, note_of(kept, 1), note_of(kept, 2)]
        assert texts_of(Reader(folder), replies) == texts
        compaction.compact(folder)
    assert compaction.compact(folder) == 0


def note_of(lines: bytes, number: int) -> Entry:
    notes = [json.loads(line[9:]) for line in lines.splitlines() if b'"open"' in line]
    return next(entry for entry in notes if entry["n"] == number)


@pytest.mark.parametrize(
    "step",
    [
        "compaction.sealed.write = lambda stream, _: (stream.write(b'x' * 100), die())",
        "files.sync = die",
        "compaction._Sources.remove = die",
    ],
    ids=["writing", "written", "moved"],
)
def test_a_compaction_that_is_killed_anywhere_loses_nothing(tmp_path: Path, step: str) -> None:
    folder, replies = Folder(str(tmp_path)), entries(200)
    for i in range(4):
        write(folder, replies[i::4]).close()
    program = f"""
import os
from raydistill.runtime import files
from raydistill.teacher.journal import Folder, compaction
def die(*_):
    os._exit(9)
{step}
compaction.compact(Folder({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert done.returncode == 9
    assert len(folder.names()) == 6
    assert texts_of(Reader(folder), replies) == [f"text {i}" for i in range(200)]
    assert len([*scan(folder)]) == 200
    assert compaction.compact(folder) == 200
    assert texts_of(Reader(folder), replies) == [f"text {i}" for i in range(200)]
    assert len([*scan(folder)]) == 200


def test_a_storage_that_has_no_room_for_the_copy_keeps_the_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replies = Folder(str(tmp_path)), entries(20)
    write(folder, replies).close()

    def no_space(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(compaction.sealed, "write", no_space)
    names = folder.names()
    with pytest.raises(JournalError, match="No space left on device for the journal"):
        compaction.compact(folder)
    assert folder.names() == names
    monkeypatch.undo()
    assert compaction.compact(folder) == 20


class Onlooker:
    """Makes a new reader again and again; what one has seen, no later one misses."""

    def __init__(self, folder: Folder, replies: list[Entry]) -> None:
        self.folder = folder
        self.replies = replies
        self.readers = [Reader(folder)]
        self._seen = 0

    def look(self) -> None:
        reader = Reader(self.folder)
        found = sum(text is not None for text in texts_of(reader, self.replies))
        assert found >= self._seen
        self._seen = found
        assert len([*scan(self.folder)]) <= len(self.replies)
        self.readers.append(reader)


@KINDS
def test_nothing_is_lost_or_counted_twice_where_runs_write_and_compact_at_once(tmp_path: Path, kind: str) -> None:
    folder = place(tmp_path, kind)
    replies = entries(240)
    onlookers = [Onlooker(folder, replies), Onlooker(folder, replies)]
    over = threading.Event()

    def write_all(mine: list[Entry]) -> None:
        for e in mine:
            write(folder, [e]).close()  # a segment of its own

    def always(work: Callable[[], object]) -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(9) as pool:
        side = [pool.submit(always, onlooker.look) for onlooker in onlookers]
        side += [pool.submit(always, partial(compaction.compact, folder)) for _ in range(3)]
        for done in [pool.submit(write_all, replies[i::4]) for i in range(4)]:
            done.result()
        over.set()
        for done in side:
            done.result()
    for reader in (*onlookers[0].readers[::20], Reader(folder)):
        reader.refresh()
        assert texts_of(reader, replies) == [f"text {i}" for i in range(240)]
        assert not reader.damage
    assert len([*scan(folder)]) == 240
    compaction.compact(folder)
    assert {path.suffix for path in tmp_path.iterdir()} == {".zst", ".json"}


@KINDS
def test_a_damaged_segment_is_sealed_as_far_as_it_is_whole_and_kept(tmp_path: Path, kind: str) -> None:
    folder, replies = place(tmp_path, kind), entries(5)
    write(folder, replies).close()
    segment = file_of(tmp_path, "segment-*.jsonl")
    content = segment.read_bytes()
    damaged = content.replace(b"text 2", b"text X")
    segment.write_bytes(damaged)
    offset = content.index(b"text 2")
    at = content.rfind(b"\n", 0, offset) + 1
    expected = [Damage(segment.name, at, "a line is damaged and left out")]
    texts = ["text 0", "text 1", None, "text 3", "text 4"]
    before = Reader(folder)
    assert texts_of(before, replies) == texts
    assert before.damage == expected
    damage: list[Damage] = []
    assert compaction.compact(folder, damage) == 4
    assert damage == expected
    assert file_of(tmp_path, "*.damaged").read_bytes() == damaged
    assert file_of(tmp_path, "*.damaged").name == segment.name + ".damaged"
    assert texts_of(Reader(folder), replies) == texts
    assert texts_of(before, replies) == texts
    assert compaction.compact(folder, damage) == 0  # it is not read again
    assert damage == expected


def test_the_torn_line_of_a_dead_writer_is_no_damage(tmp_path: Path) -> None:
    folder, replies = Folder(str(tmp_path)), entries(3)
    write(folder, replies).close()
    segment = file_of(tmp_path, "segment-*.jsonl")
    segment.write_bytes(segment.read_bytes()[:-20])
    damage: list[Damage] = []
    reader = Reader(folder)
    assert compaction.compact(folder, damage) == 2
    assert damage == reader.damage == []
    assert {path.suffix for path in tmp_path.iterdir()} == {".zst", ".json"}


def test_an_object_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    folder = place(tmp_path, "remote")
    write(folder, entries(3)).close()
    segment = file_of(tmp_path, "segment-*.jsonl")
    content = segment.read_bytes()
    segment.write_bytes(content[:-20])
    reader = Reader(folder)
    assert compaction.compact(folder) == 0
    segment.write_bytes(content)
    reader.refresh()
    assert texts_of(reader, entries(3)) == ["text 0", "text 1", "text 2"]
    assert compaction.compact(folder) == 3
    assert texts_of(Reader(folder), entries(3)) == ["text 0", "text 1", "text 2"]


def test_what_dead_writers_have_left_goes(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    live, dead = Writer(folder), Writer(folder)
    asyncio.run(live.open(10_000))
    asyncio.run(dead.open(10_000))
    for place_ in asyncio.run(append(dead, [entry(0, ["x"])])):
        assert not isinstance(place_, BaseException)
    dead._storage._leave()  # type: ignore[attr-defined]  # as a kill does: the lock goes, the files stay
    old, new, marker = tmp_path / "sealed-1.zst.part", tmp_path / "sealed-2.zst.part", tmp_path / "JOURNAL.json.ab"
    for path in (old, new, marker):
        path.write_bytes(b"x")
    for path in (old, marker):
        os.utime(path, (time.time() - 4000, time.time() - 4000))
    assert [path.name for path in sorted(tmp_path.glob("*.room"))] == sorted(
        [live.name + room.ENDING, dead.name + room.ENDING]
    )
    assert compaction.compact(folder) == 1
    assert [path.name for path in tmp_path.glob("*.room")] == [live.name + room.ENDING]
    assert [path.name for path in tmp_path.glob("*.part")] == [new.name]
    assert not marker.exists()
    live.close()
    new.unlink()
    assert {path.suffix for path in tmp_path.iterdir()} == {".zst", ".json"}

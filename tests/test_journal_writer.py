"""The writing side: room is taken before anything is paid for, and what a full disk rejects is kept and tried again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest
from support.journals import append, entries, entry, file_of, incompressible, note, place, remote, texts_of, write

from raydistill.teacher.journal import Folder, JournalError, Place, Reader, Writer
from raydistill.teacher.journal import writer as journal_writer
from raydistill.teacher.journal.records import Entry, encode
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.journal.storing import Stored

KB = 1024


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "REMOTE_FLUSH_S", 0.0)
    monkeypatch.setattr(journal_writer, "RETRY_S", 0.02)
    monkeypatch.setattr(journal_writer, "GIVE_UP_S", 0.2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def large(count: int, size: int = 4 * KB) -> list[Entry]:
    return [entry(i, [incompressible(i, size)]) for i in range(count)]


def kept(folder: Folder, replies: list[Entry]) -> list[bool]:
    """Return of each reply whether a new reader has its text."""
    reader = Reader(folder)
    assert not reader.damage
    assert sum(len(e["keys"]) for e in scan(folder)) == len(reader)
    return [text is not None for text in texts_of(reader, replies)]


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_lines_are_where_their_places_say(tmp_path: Path, kind: str) -> None:
    folder, replies = place(tmp_path, kind), entries(10)
    writer = Writer(folder)
    places = asyncio.run(append(writer, [*replies[:5], note(1), *replies[5:]]))
    for reply, where in zip(replies, [*places[:5], *places[6:]], strict=True):
        assert isinstance(where, Place)
        assert where.name.startswith(writer.name)
        content = (tmp_path / where.name).read_bytes()
        assert content[where.offset : where.offset + where.size] == encode(reply)
    writer.close()


@pytest.mark.parametrize("allocates", [True, False])
def test_a_writer_that_wrote_nothing_leaves_nothing(
    tmp_path: Path, allocates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not allocates:  # as macOS
        monkeypatch.delattr(os, "posix_fallocate")
    folder = Folder(str(tmp_path))
    writer = Writer(folder)
    asyncio.run(writer.open(10 * KB))
    assert len(folder.names()) == 3
    asyncio.run(writer.open(20 * KB))  # more room
    assert file_of(tmp_path, "*.room").stat().st_size == 20 * KB
    with files_of_at_most(64 * KB), pytest.raises(JournalError, match="No space left on device"):
        asyncio.run(writer.open(100 * KB))
    writer.close()
    assert folder.names() == ["JOURNAL.json"]


def test_remote_storage_that_rejects_everything_is_noticed_at_once(tmp_path: Path) -> None:
    folder = remote(tmp_path / "journal")
    asyncio.run(Writer(folder).open())
    assert folder.names() == ["JOURNAL.json"]
    folder.root = "./gone"
    with pytest.raises(JournalError, match="Writing the journal"):
        asyncio.run(Writer(folder).open())


def test_a_journal_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with files_of_at_most(64 * KB):
        writer = Writer(folder)
        with pytest.raises(JournalError, match="No space left on device for the journal"):
            asyncio.run(writer.open(100 * KB))
        writer.close()
    assert folder.names() == ["JOURNAL.json"]


def test_a_journal_on_a_disk_without_room_is_refused_before_anything_is_written(small_disk: Path) -> None:
    folder = Folder(str(small_disk / "journal"))
    writer = Writer(folder)
    with pytest.raises(JournalError, match="No space left on device for the journal"):
        asyncio.run(writer.open(2000 * KB))
    writer.close()
    assert folder.names() == ["JOURNAL.json"]
    (small_disk / "data").write_bytes(bytes(900 * KB))
    writer = Writer(folder)
    with pytest.raises(JournalError, match="No space left on device for the journal"):
        asyncio.run(writer.open(200 * KB))
    asyncio.run(writer.open(20 * KB))
    writer.close()


def test_a_journal_that_is_read_only_is_refused(small_disk: Path) -> None:
    folder = Folder(str(small_disk / "journal"))
    write(folder, entries(3)).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    folder = Folder(str(small_disk / "journal"))
    with pytest.raises(JournalError, match="Writing the journal"):
        asyncio.run(Writer(folder).open())
    assert texts_of(Reader(folder), entries(3)) == ["text 0", "text 1", "text 2"]


@pytest.mark.parametrize("fits", [0, 1, 2])
def test_a_full_disk_keeps_the_whole_lines_of_a_group_and_writes_the_others_once_there_is_room(
    tmp_path: Path, fits: int
) -> None:
    """Three replies are written in one group; the disk is full in the middle of one of them, and has room later."""
    folder, replies = Folder(str(tmp_path)), large(3, 64 * KB)
    rejections: list[JournalError] = []
    writer = Writer(folder, rejections.append)

    async def run() -> list[Place | BaseException]:
        with files_of_at_most(sum(len(encode(reply)) for reply in replies[:fits]) + 10):
            appends = asyncio.ensure_future(append(writer, replies))
            await asyncio.sleep(0.1)
            assert kept(folder, replies) == [i < fits for i in range(3)]
            assert file_of(tmp_path, "segment-*.jsonl").stat().st_size == sum(len(encode(e)) for e in replies[:fits])
        return await appends

    places = asyncio.run(run())
    assert not any(isinstance(where, BaseException) for where in places)
    assert len(rejections) == 1
    assert "No space left on device for the journal" in rejections[0].message
    assert kept(folder, replies) == [True] * 3
    assert writer.lost == 0
    writer.close()


def test_what_is_rejected_for_long_is_lost_and_counted(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    replies = [entry(i, [incompressible(10 * i + sample, 8 * KB) for sample in range(4)]) for i in range(6)]
    writer = Writer(folder)
    fits = 2
    with files_of_at_most(sum(len(encode(reply)) for reply in replies[:fits]) + 10):
        places = asyncio.run(append(writer, [*replies, note(1)]))
    errors = [where for where in places if isinstance(where, JournalError)]
    assert len(errors) == 6 - fits + 1
    assert "16 answers that were paid for are lost." in str(errors[0])
    assert writer.lost == 4 * (6 - fits)
    assert kept(folder, replies) == [reply in replies[:fits] for reply in replies for _ in range(4)]
    assert not any(isinstance(where, BaseException) for where in asyncio.run(append(writer, replies[fits:])))
    writer.close()
    assert all(kept(folder, replies))


def test_a_disk_that_is_full_again_is_told_again_and_waited_for_again(tmp_path: Path) -> None:
    folder, replies = Folder(str(tmp_path)), large(4, 16 * KB)
    rejections: list[JournalError] = []
    writer = Writer(folder, rejections.append)

    async def run() -> None:
        for part in (replies[:2], replies[2:]):
            with files_of_at_most(100):
                appends = asyncio.ensure_future(append(writer, part))
                await asyncio.sleep(0.1)
            assert not any(isinstance(where, BaseException) for where in await appends)
            await asyncio.sleep(0.15)  # the first failure is now longer ago than GIVE_UP_S

    asyncio.run(run())
    assert len(rejections) == 2
    assert kept(folder, replies) == [True] * 4
    writer.close()


def test_an_object_that_seems_to_have_failed_is_never_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be there all the same, and be sealed and deleted in a moment."""
    folder, replies = remote(tmp_path), entries(4)
    writer = Writer(folder)
    real = type(folder.fs).open_output_stream
    failures = [OSError("no reply")]

    class FailingOnce(pafs.SubTreeFileSystem):
        def open_output_stream(self, path: str) -> Any:
            if failures:
                with real(self, path) as stream:
                    stream.write(b"".join(map(encode, replies[:2])))
                raise failures.pop()
            return real(self, path)

    folder.fs = FailingOnce(str(tmp_path), pafs.LocalFileSystem())

    async def run() -> None:
        appends = asyncio.ensure_future(append(writer, replies[:2]))
        await asyncio.sleep(0.01)
        appends_later = asyncio.ensure_future(append(writer, replies[2:]))
        places = [*await appends, *await appends_later]
        assert [type(where) for where in places] == [Place] * 4
        assert {where.name for where in places if isinstance(where, Place)} == {f"{writer.name}-000001.jsonl"}

    asyncio.run(run())
    assert len([*tmp_path.glob("segment-*")]) == 2
    assert kept(folder, replies) == [True] * 4


def test_the_room_takes_what_is_in_flight_when_the_disk_is_full(small_disk: Path) -> None:
    folder, replies = Folder(str(small_disk / "journal")), large(60, 8 * KB)
    stopped: list[int] = []
    count = 0
    writer = Writer(folder, lambda _: stopped.append(count))
    asyncio.run(writer.open(300 * KB))
    (small_disk / "data").write_bytes(bytes(600 * KB))

    async def run() -> None:
        nonlocal count
        for reply in replies:
            await writer.append(reply)
            count += 1
            if stopped and count >= stopped[0] + 20:  # what was in flight at the stop
                return

    asyncio.run(run())
    assert len(stopped) == 1
    assert count == stopped[0] + 20
    assert kept(folder, replies) == [i < count for i in range(60)]
    assert writer.lost == 0
    assert not [*small_disk.glob("journal/*.room")]
    writer.close()


def test_a_segment_that_cannot_be_synced_is_left_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What of it is durable is unknown, so its lines are written again; they count once."""
    folder, replies = Folder(str(tmp_path)), entries(9)
    writer = Writer(folder)
    real = os.fsync
    failures = [OSError(errno.EIO, os.strerror(errno.EIO))]

    def fail_once(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        real(descriptor)

    assert not isinstance(asyncio.run(append(writer, replies[:3]))[0], BaseException)
    monkeypatch.setattr(os, "fsync", fail_once)
    for reply in replies[3:]:
        assert not isinstance(asyncio.run(append(writer, [reply]))[0], BaseException)
    names = [path.name for path in sorted(tmp_path.glob("segment-*"))]
    assert names == [f"{writer.name}-000001.jsonl", f"{writer.name}.jsonl"]
    assert (tmp_path / names[1]).read_bytes() == b"".join(map(encode, replies[:3]))
    assert kept(folder, replies) == [True] * 9
    writer.close()


def test_an_append_that_is_cancelled_takes_no_other_with_it(tmp_path: Path) -> None:
    folder, replies = Folder(str(tmp_path)), entries(3)
    writer = Writer(folder)

    async def run() -> list[Place | BaseException]:
        tasks = [asyncio.ensure_future(writer.append(reply)) for reply in replies]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    places = asyncio.run(run())
    assert isinstance(places[0], asyncio.CancelledError)
    assert isinstance(places[1], Place)
    assert isinstance(places[2], Place)
    assert texts_of(Reader(folder), replies)[1:] == ["text 1", "text 2"]
    writer.close()


def test_an_entry_that_is_no_json_fails_alone_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    writer = Writer(folder)
    bad: Entry = {"keys": [], "why": object()}  # type: ignore[typeddict-item]
    places = asyncio.run(asyncio.wait_for(append(writer, [bad, *entries(2)]), 5))
    assert [type(where).__name__ for where in places] == ["TypeError", "Place", "Place"]
    writer.close()
    places = asyncio.run(asyncio.wait_for(append(writer, entries(2)), 5))  # after its end
    assert [type(where).__name__ for where in places] == ["RuntimeError", "RuntimeError"]


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_lines_of_one_moment_are_made_durable_together(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync, or an object, for each line would cost more than the calls."""
    monkeypatch.setattr(journal_writer, "REMOTE_FLUSH_S", 0.3)
    monkeypatch.setattr(journal_writer, "LOCAL_FLUSH_S", 0.3)
    folder = place(tmp_path, kind)
    writer = Writer(folder)
    groups: list[int] = []
    write = writer._storage.write

    def counted(lines: list[bytes]) -> Stored:
        groups.append(len(lines))
        return write(lines)

    monkeypatch.setattr(writer._storage, "write", counted)

    async def run() -> None:
        appends = []
        for line in large(5):
            appends.append(asyncio.ensure_future(writer.append(line)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*appends)

    asyncio.run(run())
    writer.close()
    assert groups == [5]

"""Looking answers up: readers follow writers and compaction, notes are handed on, a key may stand in several lines."""

from __future__ import annotations

import asyncio
import errno
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil
import pytest
from pyarrow.fs import FileInfo
from support.journals import entries, entry, file_of, incompressible, note, place, reply, request, texts_of, write

from raydistill.teacher.journal import Folder, JournalError, Reader, Writer, compaction, frames
from raydistill.teacher.journal import index as journal_index
from raydistill.teacher.journal import writer as journal_writer
from raydistill.teacher.journal.records import Entry, decode
from raydistill.teacher.journal.scan import scan

KINDS = pytest.mark.parametrize("kind", ["local", "remote"])


@pytest.fixture(autouse=True)
def _no_gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "REMOTE_FLUSH_S", 0.0)


@KINDS
def test_readers_follow_writers_and_compaction(tmp_path: Path, kind: str) -> None:
    folder = place(tmp_path, kind)
    old = entries(1500, samples=2)
    new = [entry(i, [f"{i} a"]) for i in range(2000, 2010)]
    write(folder, old).close()
    reader = Reader(folder)
    live = write(folder, new)  # still open
    assert texts_of(reader, new) == [None] * 10
    reader.refresh()
    expected = [f"text {i}.{sample}" for i in range(1500) for sample in range(2)] + [
        f"{i} a" for i in range(2000, 2010)
    ]
    assert texts_of(reader, old + new) == expected
    count = compaction.compact(folder)
    assert count == (3000 if kind == "local" else 3010)  # a live local segment is left alone
    assert texts_of(reader, old + new) == expected  # a reader from before
    again = Reader(folder)
    assert texts_of(again, old + new) == expected
    first, second = map(again.get, old[3]["keys"])
    assert first is not None
    assert second is not None
    assert (first.prompt_tokens, first.attempts) == (10, 1)
    assert (second.prompt_tokens, second.attempts) == (0, 0)
    assert first.completion_tokens + second.completion_tokens == 7
    assert not reader.damage
    assert not again.damage
    live.close()


@KINDS
def test_what_was_noted_is_found_without_a_refresh(tmp_path: Path, kind: str) -> None:
    folder, replies = place(tmp_path, kind), entries(20)
    reader, writer = Reader(folder), Writer(folder)

    async def run() -> None:
        for e in replies:
            reader.note(e["keys"], await writer.append(e))

    asyncio.run(run())
    assert texts_of(reader, replies) == [f"text {i}" for i in range(20)]
    assert len(reader) == 20
    writer.close()


@KINDS
def test_a_refresh_reads_what_is_new_and_nothing_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place(tmp_path, kind)
    write(folder, entries(300)).close()
    compaction.compact(folder)
    live = write(folder, entries(100))
    reader = Reader(folder)
    own = Writer(folder)
    decoded: list[bytes] = []

    def note_decoded(line: bytes) -> Entry | None:
        decoded.append(line)
        return decode(line)

    monkeypatch.setattr("raydistill.teacher.journal.segments.decode", note_decoded)

    async def run() -> None:
        for i in range(900, 910):
            reader.note(request(i).keys([0]), await own.append(entry(i, ["own"])))
        reader.refresh()
        assert decoded == []  # what it has noted it need not read
        reader.note(request(1000).keys([0]), await own.append(entry(1000, ["own"])))
        await own.append(note(1))  # a reply that comes after a note of its own is noted, too
        reader.note(request(1001).keys([0]), await own.append(entry(1001, ["own"])))

    asyncio.run(run())
    reader.refresh()
    decoded.clear()
    opened: list[str] = []
    real = Folder.open

    def note_opened(self: Folder, name: str, *rest: int) -> IO[bytes]:
        opened.append(name)
        return real(self, name, *rest)

    monkeypatch.setattr(Folder, "open", note_opened)
    reader.refresh()
    assert decoded == []
    assert not any(name.startswith("sealed") for name in opened)
    assert kind == "local" or not opened  # an object does not grow
    live.close()
    own.close()


@KINDS
def test_notes_are_handed_on_and_answer_nothing(tmp_path: Path, kind: str) -> None:
    folder = place(tmp_path, kind)
    heard: list[tuple[int, str]] = []

    def listen(entry: Entry, file: str) -> None:
        heard.append((entry["n"], file))

    first = write(folder, [entry(0, ["x"]), note(1), note(2)])
    reader = Reader(folder, listen)
    assert [number for number, _ in heard] == [1, 2]
    assert {file for _, file in heard} == {name for name in folder.names() if name.startswith("segment")}
    second = write(folder, [note(3), entry(1, ["y"])])
    reader.refresh()
    reader.refresh()
    assert [number for number, _ in heard] == [1, 2, 3]
    assert texts_of(reader, [entry(0, ["x"]), entry(1, ["y"])]) == ["x", "y"]
    first.close()
    second.close()
    assert compaction.compact(folder) == 2
    heard.clear()
    late = Reader(folder)
    assert not heard
    late.listen(listen)  # those that it has read already
    assert sorted(number for number, _ in heard) == [1, 2, 3]
    assert texts_of(late, [entry(0, ["x"]), entry(1, ["y"])]) == ["x", "y"]


BROKEN = "<html>no completion</html>"


@KINDS
@pytest.mark.parametrize("compacted", [True, False])
def test_of_several_replies_under_a_key_the_newest_counts_that_can_be_read(
    tmp_path: Path, kind: str, compacted: bool
) -> None:
    """A reply held too few samples; one could not be read and was bought again; one was bought twice."""
    folder = place(tmp_path, kind)
    short = entry(0, ["a"], asked=3)
    completed = entry(0, ["b", "c"], first_sample=1)
    unreadable = reply(1, request(1).keys([0]), BROKEN)
    bought_again = entry(1, ["read"])
    unreadable_later = reply(1, request(1).keys([0]), BROKEN)
    early, late = entry(2, ["early"]), entry(2, ["late"])
    never = [reply(3, request(3).keys([0]), BROKEN), reply(3, request(3).keys([0]), '{"choices": 3}')]
    lines = [short, completed, unreadable, bought_again, unreadable_later, early, late, *never]
    for i, line in enumerate(lines):
        line["time"] = 1000.0 + i
    write(folder, [late, unreadable_later, never[1], short]).close()
    reader = Reader(folder)
    assert [texts_of(reader, [entry(0, ["a", "b", "c"])])] == [["a", None, None]]
    write(folder, [early, unreadable, bought_again, completed, never[0]]).close()
    reader.refresh()
    if compacted:
        assert compaction.compact(folder) == 12
    for each in (reader, Reader(folder)):
        assert texts_of(each, [entry(i, ["x"] * n) for i, n in ((0, 3), (1, 1), (2, 1))]) == [
            "a",
            "b",
            "c",
            "read",
            "late",
        ]
        answer = each.get(request(3).keys([0])[0])
        assert answer is not None
        assert answer.problem
        assert each.get(request(4).keys([0])[0]) is None


@pytest.mark.parametrize("compacted", [True, False])
def test_the_reply_that_was_read_last_is_not_taken_for_the_newest(tmp_path: Path, compacted: bool) -> None:
    folder = Folder(str(tmp_path))
    lines = [entry(0, ["a early"]), entry(0, ["a", "b"]), entry(0, ["b late"], first_sample=1), *entries(5)[2:]]
    for i, line in enumerate(lines):
        line["time"] = 1000.0 + i
    first, second = request(0).keys([0, 1])
    live = write(folder, lines[:2])
    reader = Reader(folder)
    answer = reader.get(second)
    assert answer is not None
    assert answer.text == "b"
    last = write(folder, lines[2:])
    reader.refresh()
    live.close()
    last.close()
    if compacted:
        compaction.compact(folder)
        reader = Reader(folder)
    for key, text in ((second, "b late"), (first, "a"), (second, "b late")):
        answer = reader.get(key)
        assert answer is not None
        assert answer.text == text


def test_all_places_of_a_key_are_found_when_its_lines_are_in_one_frame(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    many = [reply(0, request(0).keys([0]), BROKEN) for _ in range(5)]
    write(folder, [*entries(50)[1:], *many[:2], entry(0, ["found"]), *many[2:]]).close()
    compaction.compact(folder)
    reader = Reader(folder)
    for _ in range(2):
        for i in (49, 0, 3, 0):
            assert texts_of(reader, [entry(i, ["x"])]) == ["found" if i == 0 else f"text {i}"]


def test_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    keys = ["ab" * 8 + f"{i:048x}" for i in range(3)]
    body = {"choices": [{"index": 0, "text": "t", "finish_reason": "stop"}]}
    lines = [reply(i, [keys[i]], json.dumps(body)) for i in range(2)]
    write(folder, lines[:1]).close()
    compaction.compact(folder)
    live = write(folder, lines[1:])
    reader = Reader(folder)
    answers = [reader.get(key) for key in keys]
    assert [answer.key if answer else None for answer in answers] == [keys[0], keys[1], None]
    live.close()


def test_the_index_gives_every_place_whenever_it_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_index, "FOLD_AT", 7)
    index = journal_index.Index()
    keys = [f"{i * 7919:064x}"[::-1] for i in range(50)]
    for round_number in range(3):
        for i, key in enumerate(keys):
            index.add(key, journal_index.pack(round_number, i))
    assert len(index) == 50
    assert [len(index.find(key)) for key in keys] == [3] * 50
    index.drop_file(1)
    assert sorted(index.find(keys[9])) == [journal_index.pack(0, 9), journal_index.pack(2, 9)]
    assert index.find("f" * 64) == []


def test_look_ups_stay_small_however_large_the_journal(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    n = 5000
    texts = [incompressible(i, 4000) for i in range(n)]
    for start in range(0, n, 500):
        write(folder, [entry(i, [texts[i]]) for i in range(start, start + 500)]).close()
        compaction.compact(folder)
    tracemalloc.start()
    reader = Reader(folder)
    for i in range(0, n, 7):
        answer = reader.get(request(i).keys([0])[0])
        assert answer is not None
        assert answer.text == texts[i]
    assert reader.get("00" * 32) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < frames.KEPT_BYTES + sum(map(len, texts)) / 5


def test_a_reader_keeps_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydistill.teacher.journal.stored.OPEN_FILES", 2)
    folder = Folder(str(tmp_path))
    replies = entries(12)
    for i in range(6):
        write(folder, replies[i : i + 1]).close()
        compaction.compact(folder)
        write(folder, replies[6 + i : 7 + i]).close()
    reader = Reader(folder)
    before = psutil.Process().num_fds()
    for _ in range(2):
        assert texts_of(reader, replies) == [f"text {i}" for i in range(12)]
    assert psutil.Process().num_fds() <= before + 2


@pytest.mark.parametrize("late", [True, False], ids=["new reader", "refresh"])
def test_a_listing_that_misses_a_segment_under_both_names_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """A folder is not listed in one moment: a segment may be sealed and deleted in between, and is in neither place."""
    folder = Folder(str(tmp_path))
    replies = entries(3)
    write(folder, replies).close()
    reader = None if late else Reader(folder)
    assert compaction.compact(folder) == 3
    real = Folder.files
    listings = 0

    def miss_once(self: Folder) -> dict[str, FileInfo]:
        nonlocal listings
        listings += 1
        files = real(self)
        return {name: info for name, info in files.items() if listings > 1 or not name.startswith("sealed")}

    monkeypatch.setattr(Folder, "files", miss_once)
    if reader is None:
        reader = Reader(folder)
    else:
        reader.refresh()
    assert [len(reader._index.find(e["keys"][0])) for e in replies] == [1 if late else 2] * 3
    assert texts_of(reader, replies) == ["text 0", "text 1", "text 2"]
    listings = 0
    assert len([*scan(folder)]) == 3


def test_a_segment_that_is_sealed_while_the_folder_is_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a new reader, by one that has not opened it yet, and by a scan."""
    for number in range(3):
        folder = Folder(str(tmp_path / f"{number}"))
        replies = entries(3)
        write(folder, replies).close()
        reader = Reader(folder) if number == 0 else None
        real = Folder.open

        def seal_first(self: Folder, name: str, *rest: int, real: Callable[..., IO[bytes]] = real) -> IO[bytes]:
            monkeypatch.setattr(Folder, "open", real)
            assert compaction.compact(self) == 3
            return real(self, name, *rest)

        monkeypatch.setattr(Folder, "open", seal_first)
        if number == 2:
            assert len([*scan(folder)]) == 3
        else:
            assert texts_of(reader or Reader(folder), replies) == ["text 0", "text 1", "text 2"]


def test_a_line_that_a_network_file_system_shows_in_part_is_read_later(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    replies = entries(3)
    write(folder, replies).close()
    segment = file_of(tmp_path, "segment-*")
    content = segment.read_bytes()
    segment.write_bytes(content[:-300] + bytes(299) + b"\n")
    reader = Reader(folder)
    assert texts_of(reader, replies) == ["text 0", "text 1", None]
    assert len(reader.damage) == 1
    segment.write_bytes(content)
    reader.refresh()
    assert texts_of(reader, replies) == ["text 0", "text 1", "text 2"]
    assert not reader.damage


def test_storage_that_fails_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    write(folder, entries(3)).close()
    reader = Reader(folder)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Folder, "open", fail)
    for work in (
        reader.refresh,
        lambda: Reader(folder),
        lambda: reader.get(request(1).keys([0])[0]),
        lambda: [*scan(folder)],
    ):
        with pytest.raises(JournalError, match=r"cannot be read: .*Input/output error") as caught:
            work()  # type: ignore[operator]
        assert caught.value.hint
    monkeypatch.undo()
    assert texts_of(reader, entries(3)) == ["text 0", "text 1", "text 2"]

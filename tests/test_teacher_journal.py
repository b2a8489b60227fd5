"""The journal: durable, torn tails, compaction, look-ups, foreign folders."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import tempfile
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.teacher.api.request import Request
from raydistill.teacher.journal import Folder, JournalError, Reader, Writer, compaction
from raydistill.teacher.journal import writer as journal_writer
from raydistill.teacher.journal.records import ENTRIES, Entry, decode, encode, record
from raydistill.teacher.journal.scan import scan, spent

ASKED = Request("https://api.example/v1", "completions", "m", "Q: ?", 8, 0.7, ("\nQ:",), 1)


def entry(i: int, texts: list[str]) -> Entry:
    asked = Request("https://api.example/v1", "completions", "m", f"Q: {i}?", 8, 0.7)
    return record(
        asked.keys(range(len(texts))),
        texts,
        ["stop"] * len(texts),
        (10, 2, 3 * len(texts) + 1),
        0.5,
        1,
        asked.canonical(),
        run="run",
        session="s",
        stage="zero_shot",
        task="t",
        kind="rationale",
    )


def write(folder: Folder, entries: list[Entry]) -> Writer:
    writer = Writer(folder)

    async def run() -> None:
        await asyncio.gather(*(writer.append(e) for e in entries))

    asyncio.run(run())
    return writer


def remote(path: Path) -> Folder:
    """A journal on a file system that cannot append, like an object store."""
    path.mkdir(exist_ok=True)
    folder = Folder(str(path))
    folder.fs, folder.root = pafs.SubTreeFileSystem(str(path), pafs.LocalFileSystem()), "."
    assert not folder.is_local
    return folder


def texts_of(reader: Reader, entries: list[Entry]) -> list[str | None]:
    found = [reader.get(key) for e in entries for key in e["keys"]]
    return [a.text if a else None for a in found]


@given(st.lists(st.lists(st.text(), min_size=1, max_size=4), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_torn_tail_loses_that_line_alone(samples: list[list[str]], share: float) -> None:
    samples = [[text.encode("utf-16", "ignore").decode("utf-16", "ignore") for text in group] for group in samples]
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(path)
        entries = [entry(i, group) for i, group in enumerate(samples)]
        write(folder, entries).close()
        [segment] = Path(path).glob("segment-*.jsonl")
        lines = segment.read_bytes().splitlines(keepends=True)
        last = len(lines[-1])
        segment.write_bytes(b"".join(lines)[: -max(1, int(share * last))])
        reader = Reader(folder)
        whole = [text for e in entries[:-1] for text in e["texts"]]
        assert texts_of(reader, entries[:-1]) == whole
        assert texts_of(reader, entries[-1:]) == [None] * len(entries[-1]["texts"])
        compaction.compact(folder)
        assert texts_of(Reader(folder), entries[:-1]) == whole


def test_a_damaged_line_in_the_middle_is_left_out(tmp_path: Path) -> None:
    folder, entries = Folder(str(tmp_path)), [entry(i, [f"text {i}"]) for i in range(5)]
    write(folder, entries).close()
    [segment] = tmp_path.glob("segment-*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"text 2", b"text X"))
    reader = Reader(folder)
    assert texts_of(reader, entries) == ["text 0", "text 1", None, "text 3", "text 4"]
    assert reader.torn == 1


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_readers_follow_writers_and_compaction(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "REMOTE_FLUSH_S", 0.0)
    folder = Folder(str(tmp_path)) if kind == "local" else remote(tmp_path)
    old = [entry(i, [f"{i} a", f"{i} b"]) for i in range(1500)]
    new = [entry(i, [f"{i} a"]) for i in range(2000, 2010)]
    write(folder, old).close()
    reader = Reader(folder)
    live = write(folder, new)  # still open
    assert texts_of(reader, new) == [None] * 10
    reader.refresh()
    expected = [text for e in old + new for text in e["texts"]]
    assert texts_of(reader, old + new) == expected
    count = compaction.compact(folder)
    assert count == (3000 if kind == "local" else 3010)  # a live local segment is left alone
    assert texts_of(reader, old + new) == expected  # a reader from before
    assert texts_of(Reader(folder), old + new) == expected
    first = Reader(folder).get(old[3]["keys"][0])
    second = Reader(folder).get(old[3]["keys"][1])
    assert first is not None
    assert second is not None
    assert (first.prompt_tokens, first.cached_tokens, first.usd, first.attempts) == (10, 2, 0.5, 1)
    assert (second.prompt_tokens, second.cached_tokens, second.usd, second.attempts) == (0, 0, 0.0, 0)
    assert first.completion_tokens + second.completion_tokens == 7
    assert spent(folder, "run") == (0.5 * 1510, 10 * 1510 + 7 * 1500 + 4 * 10)
    assert spent(folder, "another run") == (0.0, 0)
    live.close()


def test_what_was_noted_is_found_without_a_refresh(tmp_path: Path) -> None:
    folder, entries = Folder(str(tmp_path)), [entry(i, [f"text {i}"]) for i in range(20)]
    reader, writer = Reader(folder), Writer(folder)

    async def run() -> None:
        for e in entries:
            reader.note(e["keys"], await writer.append(e))

    asyncio.run(run())
    assert texts_of(reader, entries) == [f"text {i}" for i in range(20)]
    writer.close()


@pytest.mark.parametrize("whole", [0, 1, 2])
def test_a_full_disk_keeps_the_whole_lines_of_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    """Three responses are written in one group, and the disk is full in the middle of one."""
    entries = [entry(i, [f"text {i}"]) for i in range(3)]
    space = sum(len(encode(e)) for e in entries[:whole]) + 10
    real = os.write

    def full_disk(descriptor: int, data: memoryview) -> int:
        nonlocal space
        if "segment-" not in os.readlink(f"/proc/self/fd/{descriptor}"):
            return real(descriptor, data)
        if not space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[:space])
        space -= written
        return written

    monkeypatch.setattr(os, "write", full_disk)
    writer = Writer(Folder(str(tmp_path)))

    async def append(batch: list[Entry]) -> list[Any]:
        return await asyncio.gather(*(writer.append(e) for e in batch), return_exceptions=True)

    assert [type(e) for e in asyncio.run(append(entries))] == [JournalError] * 3
    monkeypatch.undo()
    assert not any(isinstance(place, Exception) for place in asyncio.run(append(entries[2:])))  # there is room again
    writer.close()
    expected = [f"text {i}" if i < whole or i == 2 else None for i in range(3)]
    assert texts_of(Reader(Folder(str(tmp_path))), entries) == expected


def test_compacting_twice_and_an_interrupted_compaction_change_nothing(tmp_path: Path) -> None:
    folder, entries = Folder(str(tmp_path)), [entry(i, [f"text {i}"]) for i in range(50)]
    write(folder, entries).close()
    [segment] = tmp_path.glob("segment-*.jsonl")
    kept = segment.read_bytes()
    assert compaction.compact(folder) == 50
    segment.write_bytes(kept)  # killed between the Parquet file and the deletion
    assert spent(folder, "run") == (0.5 * 50, 14 * 50)
    assert texts_of(Reader(folder), entries) == [f"text {i}" for i in range(50)]
    compaction.compact(folder)
    assert compaction.compact(folder) == 0
    assert texts_of(Reader(folder), entries) == [f"text {i}" for i in range(50)]


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_nothing_is_lost_or_counted_twice_where_runs_write_and_compact_at_once(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "REMOTE_FLUSH_S", 0.0)
    folder = Folder(str(tmp_path)) if kind == "local" else remote(tmp_path)
    entries = [entry(i, [f"text {i}"]) for i in range(240)]
    readers = [Reader(folder)]
    over = threading.Event()

    def write_all(mine: list[Entry]) -> None:
        for e in mine:
            write(folder, [e]).close()  # a segment of its own

    def compact_always() -> None:
        while not over.is_set():
            compaction.compact(folder)

    def look_always() -> None:
        while not over.is_set():
            readers.append(Reader(folder))
            assert len([*scan(folder, ["key"])]) <= len(entries)

    with ThreadPoolExecutor(8) as pool:
        side = [pool.submit(work) for work in (compact_always, compact_always, compact_always, look_always)]
        for done in [pool.submit(write_all, entries[i::4]) for i in range(4)]:
            done.result()
        over.set()
        for done in side:
            done.result()
    for reader in (*readers[::20], Reader(folder)):
        reader.refresh()
        assert texts_of(reader, entries) == [f"text {i}" for i in range(240)]
    assert spent(folder, "run") == (0.5 * 240, 14 * 240)
    compaction.compact(folder)
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".parquet", ".json")] == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("JOURNAL.json", '{"format": "raydistill-journal", "version": 99}', "version 99"),
        ("JOURNAL.json", '{"format": "another", "version": 1}', "not the marker"),
        ("JOURNAL.json", "junk", "not the marker"),
        ("thesis.docx", "precious", "no raydistill journal"),
    ],
)
def test_a_foreign_folder_is_refused_untouched(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(JournalError, match=words) as caught:
        Folder(str(tmp_path))
    assert "--teacher.journal" in caught.value.hint
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: content}


def test_a_journal_that_is_only_looked_at_is_neither_made_nor_marked(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        folder = Folder(str(place), read_only=True)
        assert [*scan(folder, ["key"])] == []
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(JournalError, match="no raydistill journal"):
        Folder(str(tmp_path), read_only=True)


def test_a_uri_is_a_place(tmp_path: Path) -> None:
    folder = Folder(f"file://{tmp_path}/deep/journal")
    write(folder, [entry(0, ["x"])]).close()
    assert len(Reader(Folder(str(tmp_path / "deep" / "journal")))) == 1
    with pytest.raises(JournalError, match="cannot be opened"):
        Folder("nosuch://bucket/journal")


def test_look_ups_stay_small_however_large_the_journal(tmp_path: Path) -> None:
    n, folder = 100_000, Folder(str(tmp_path))
    keys = np.random.default_rng(0).bytes(32 * n)
    key_list = [keys[i * 32 : i * 32 + 32] for i in range(n)]
    fixed: dict[str, Any] = dict.fromkeys(("session", "run", "stage", "task", "kind", "model", "request"), "x" * 40)
    fixed |= {"finish_reason": "stop", "attempts": 1, "usd": 0.0, "time": 0.0, "cached_tokens": 0}
    columns = {name: [value] * n for name, value in fixed.items()} | {"key": key_list, "response": key_list}
    columns |= {"text": [f"a rationale {i} " * 40 for i in range(n)], "prompt_tokens": [1] * n}
    columns["completion_tokens"] = [1] * n
    table = pa.table({name: columns[name] for name in ENTRIES.names}, schema=ENTRIES)
    pq.write_table(table, tmp_path / "entries-1.parquet", row_group_size=compaction.GROUP_ROWS)
    tracemalloc.start()
    reader = Reader(folder)
    for i in range(0, n, 37):
        found = reader.get(key_list[i].hex())
        assert found is not None
        assert found.text.startswith(f"a rationale {i} ")
    assert reader.get("00" * 32) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    texts = sum(map(len, columns["text"]))
    assert peak < texts / 2


JOURNAL_V1 = Path(__file__).parent / "data" / "journal_v1"


def test_a_journal_of_version_1_gives_every_answer(tmp_path: Path) -> None:
    """Its files (a compacted one, a segment with a torn tail) were written by raydistill 0.1.0."""
    shutil.copytree(JOURNAL_V1, tmp_path / "journal")
    folder = Folder(str(tmp_path / "journal"))
    expected = json.loads((JOURNAL_V1.parent / "journal_v1_answers.json").read_text())
    reader = Reader(folder)
    assert (len(reader), reader.torn) == (len(expected), 1)
    for key, answer in expected.items():
        found = reader.get(key)
        assert found is not None
        assert found._asdict() == answer
    assert spent(folder, "/runs/paper") == (0.876, 255)
    assert compaction.compact(folder) == 4
    again = Reader(folder)
    assert [again.get(key) for key in expected] == [reader.get(key) for key in expected]
    assert folder.names()[0] == "JOURNAL.json"
    assert [name.endswith(".parquet") for name in folder.names()[1:]] == [True, True]


def test_lines_are_written_as_version_1_wrote_them() -> None:
    [segment] = JOURNAL_V1.glob("segment-*.jsonl")
    for line in segment.read_bytes().splitlines(keepends=True)[:-1]:
        entry = decode(line)
        assert entry is not None
        assert encode(entry) == line
        labels = {name: entry[name] for name in ("run", "session", "stage", "task", "kind", "estimated")}  # type: ignore[literal-required]
        again = record(
            entry["keys"],
            entry["texts"],
            entry["finish"],
            (entry["usage"][0], entry["usage"][1], entry["usage"][2]),
            entry["usd"],
            entry["attempts"],
            entry["request"],
            **labels,
        )
        again["time"] = entry["time"]
        assert encode(again) == line


def test_what_the_judge_cost_under_its_former_stage_name_counts() -> None:
    folder = Folder(str(JOURNAL_V1), read_only=True)  # a version that called the stage "judge"
    assert spent(folder, "/runs/paper", "llm_judge") == (0.5, 49)
    assert spent(folder, "/runs/paper", "few_shot") == (0.375, 48 + 60)
    assert spent(folder, "/runs/another", "llm_judge") == (0.0, 0)


def test_keys_name_all_that_an_answer_depends_on_and_never_the_key() -> None:
    base = ASKED.keys([0, 1])
    assert len(set(base)) == 2
    changes: dict[str, Any] = {
        **{"identity": "other", "dialect": "chat", "model": "n", "prompt": "Q: ??", "max_tokens": 9},
        **{"temperature": 0.8, "stop": (), "seed": 2, "limit_name": "max_completion_tokens"},
    }
    assert set(changes) == set(Request.__dataclass_fields__)
    others = [Request(**{**ASKED.__dict__, name: value}).keys([0])[0] for name, value in changes.items()]
    assert len({*others, *base}) == len(others) + 2
    assert json.dumps(ASKED.canonical()).count("sk-") == 0
    assert ASKED.keys(range(8)) == [*ASKED.keys(range(3)), *ASKED.keys(range(3, 8))]

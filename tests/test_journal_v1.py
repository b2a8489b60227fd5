"""Journals that version 1 wrote: every answer is read, before and after they are sealed, and none is changed."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from raydistill.teacher.journal import Damage, Folder, JournalError, Reader, compaction
from raydistill.teacher.journal.records import decode, encode, keys_of
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.spending import spending

DATA = Path(__file__).parent / "data"
OLD = DATA / "journal_v1"
JOURNALS = {
    "journal_v1": ("/runs/paper", 0.876, 255),
    "journal_v1_mixed": ("/runs/old", 6.0, 1321),
}
"""Journals that raydistill 0.1.0 and commit ea6136b wrote (several compacted files, whose responses go over the ends of
row groups; segments, one of them torn; purchases without a price), with what one run has bought into each."""

each_journal = pytest.mark.parametrize("name", JOURNALS)


def answers_of(name: str) -> dict[str, dict[str, Any]]:
    """Return the answers that version 1 gave, by key."""
    answers: dict[str, dict[str, Any]] = json.loads((DATA / f"{name}_answers.json").read_text())
    return answers


def check(folder: Folder, name: str) -> None:
    """Check that a journal gives every answer of version 1, and counts each once."""
    expected = answers_of(name)
    reader = Reader(folder)
    assert len(reader) == len(expected)
    for key, answer in expected.items():
        now = reader.get(key)
        assert now is not None
        assert now._asdict() == answer | {"problem": ""}
    assert not reader.damage
    assert sorted(key for entry in scan(folder) for key in keys_of(entry)) == sorted(expected)
    run, usd, tokens = JOURNALS[name]
    assert spending(folder, [run]).total == (pytest.approx(usd), tokens)
    assert spending(folder, ["/runs/another"]).total == (0.0, 0)


@each_journal
def test_every_answer_is_read_where_it_lies(name: str) -> None:
    before = {path.name: path.read_bytes() for path in (DATA / name).iterdir()}
    check(Folder(str(DATA / name), read_only=True), name)
    assert {path.name: path.read_bytes() for path in (DATA / name).iterdir()} == before


@each_journal
@pytest.mark.parametrize("kind", ["local", "remote"])
def test_every_answer_is_read_when_it_is_sealed(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "journal"
    shutil.copytree(DATA / name, path)
    folder = Folder(str(path))
    if kind == "remote":
        folder.fs, folder.root = pafs.SubTreeFileSystem(str(path), pafs.LocalFileSystem()), "."
    assert json.loads((path / "JOURNAL.json").read_text())["version"] == 2
    check(folder, name)
    before = Reader(folder)
    damage: list[Damage] = []
    compaction.compact(folder, damage)
    assert not damage
    left = {file.name.split("-")[0] for file in path.iterdir()}
    torn = {"segment"} if kind == "remote" else set()  # nobody knows whether its writer lives
    assert left == {"JOURNAL.json", "sealed"} | torn
    check(folder, name)
    check(Folder(str(path)), name)
    for key, answer in answers_of(name).items():
        now = before.get(key)
        assert now is not None
        assert now._asdict() == answer | {"problem": ""}
    assert compaction.compact(folder) == 0


def test_two_compactions_at_once_of_a_compacted_file_leave_no_doubles(tmp_path: Path) -> None:
    shutil.copytree(DATA / "journal_v1_mixed", tmp_path / "a")
    folder = Folder(str(tmp_path / "a"))
    parquet = {path.name: path.read_bytes() for path in (tmp_path / "a").glob("entries-*")}
    compaction.compact(folder)
    for name, content in parquet.items():  # killed before they were deleted, or read by another at the same time
        (tmp_path / "a" / name).write_bytes(content)
    check(folder, "journal_v1_mixed")
    compaction.compact(folder)
    check(folder, "journal_v1_mixed")


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_a_compacted_file_that_the_storage_does_not_give_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    shutil.copytree(DATA / "journal_v1_mixed", tmp_path / "a")
    folder = Folder(str(tmp_path / "a"))
    names = folder.names()

    class Failing(io.FileIO):
        left = reads

        def read(self, size: int | None = -1) -> bytes:
            if not self.left:
                raise OSError("the network is down")
            self.left -= 1
            return super().read(-1 if size is None else size)

    class FailingStorage(pafs.SubTreeFileSystem):
        def open_input_file(self, path: str) -> pa.PythonFile:
            return pa.PythonFile(Failing(str(tmp_path / "a" / path)), "r")

    whole = (folder.fs, folder.root)
    folder.fs, folder.root = FailingStorage(str(tmp_path / "a"), pafs.LocalFileSystem()), "."
    monkeypatch.setattr(compaction.segments, "is_segment", lambda _: False)
    with pytest.raises(JournalError, match="the network is down"):
        compaction.compact(folder)
    monkeypatch.undo()
    folder.fs, folder.root = whole
    assert folder.names() == names
    check(folder, "journal_v1_mixed")


def test_a_line_of_version_1_is_written_back_as_it_was() -> None:
    [segment] = OLD.glob("segment-*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)[:-1]
    assert lines
    for line in lines:
        entry = decode(line)
        assert entry is not None
        assert encode(entry) == line


def test_what_the_judge_cost_under_its_former_stage_name_counts() -> None:
    folder = Folder(str(OLD), read_only=True)  # a version that called the stage "judge"
    assert spending(folder, ["/runs/paper"], "llm_judge").total == (0.5, 49)
    assert spending(folder, ["/runs/paper"], "few_shot").total == (0.375, 48 + 60)
    assert spending(folder, ["/runs/another"], "llm_judge").total == (0.0, 0)

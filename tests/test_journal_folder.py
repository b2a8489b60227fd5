"""The journal's place: foreign folders are left alone, a journal has one id, earlier versions are taken over."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from support.journals import entry, file_of, write

from raydistill.config import Settings
from raydistill.runtime import files
from raydistill.teacher.journal import Folder, JournalError, Reader, marker
from raydistill.teacher.journal.folder import journal_folder
from raydistill.teacher.journal.scan import scan


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("JOURNAL.json", '{"format": "raydistill-journal", "version": 99}', "version 99"),
        ("JOURNAL.json", '{"format": "another", "version": 1}', "not the marker"),
        ("JOURNAL.json", '["format"]', "not the marker"),
        ("JOURNAL.json", "junk", "not the marker"),
        ("thesis.docx", "precious", "no raydistill journal"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_foreign_folder_is_refused_untouched(
    tmp_path: Path, name: str, content: str, words: str, read_only: bool
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(JournalError, match=words) as caught:
        Folder(str(tmp_path), read_only=read_only)
    assert "--teacher.journal" in caught.value.hint
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: content}


def test_a_journal_that_is_only_looked_at_is_neither_made_nor_changed(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        folder = Folder(str(place), read_only=True)
        assert [*scan(folder)] == []
        assert len(Reader(folder)) == 0
    assert [*tmp_path.iterdir()] == []
    old = '{"format": "raydistill-journal", "version": 1, "id": "old"}'
    (tmp_path / "JOURNAL.json").write_text(old)
    assert Folder(str(tmp_path), read_only=True).id == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"JOURNAL.json": old}


def test_a_place_without_a_journal_has_no_id(tmp_path: Path) -> None:
    assert Folder(str(tmp_path / "none"), read_only=True).id == ""
    assert Folder(str(tmp_path / "none")).id != ""


def test_a_run_has_a_journal_of_its_own_unless_it_shares_one(tmp_path: Path) -> None:
    settings = Settings.model_validate({"run_dir": str(tmp_path / "run")})
    own = journal_folder(settings)
    assert own.path == str(tmp_path / "run" / "journal")
    shared = Settings.model_validate(
        {"run_dir": str(tmp_path / "run"), "teacher": {"journal": str(tmp_path / "shared")}}
    )
    assert journal_folder(shared).path == str(tmp_path / "shared")
    assert journal_folder(shared).id not in ("", own.id)


def test_a_uri_is_a_place(tmp_path: Path) -> None:
    folder = Folder(f"file://{tmp_path}/deep/journal")
    write(folder, [entry(0, ["x"])]).close()
    assert len(Reader(Folder(str(tmp_path / "deep" / "journal")))) == 1
    with pytest.raises(JournalError, match="cannot be opened"):
        Folder("nosuch://bucket/journal")


def test_a_journal_of_version_1_is_taken_over_when_it_is_opened_to_write(tmp_path: Path) -> None:
    place = tmp_path / "JOURNAL.json"
    place.write_text('{"format": "raydistill-journal", "version": 1, "id": "old", "more": 3}')
    assert Folder(str(tmp_path)).id == "old"
    assert json.loads(place.read_text()) == {"format": "raydistill-journal", "version": 2, "id": "old", "more": 3}
    assert Folder(str(tmp_path)).id == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["JOURNAL.json"]


@pytest.fixture(params=["local", "no links", "remote"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Folders on a local disk, on one without links, and on storage that cannot create exclusively."""

    def no_link(*_: object) -> None:
        raise OSError("links are not supported")

    def remote(path: str) -> tuple[pafs.FileSystem, str]:
        return pafs.SubTreeFileSystem(path, pafs.LocalFileSystem()), "."

    if request.param == "no links":
        monkeypatch.setattr("os.link", no_link)
    elif request.param == "remote":
        monkeypatch.setattr(files, "filesystem", remote)
    return str(request.param)


def test_two_first_users_at_once_get_one_id(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker, "_SETTLE_S", 2.0)  # a busy disk may take a second to write a file
    rounds = 60 if kind == "local" else 1
    with ThreadPoolExecutor(4) as pool:
        for number in range(rounds):
            place = tmp_path / f"{number}"
            place.mkdir()
            start = threading.Barrier(4)

            def use(place: Path = place, start: threading.Barrier = start) -> str:
                start.wait()
                folder = Folder(str(place))
                (place / f"segment-{threading.get_ident()}.jsonl").write_text("")  # as a writer does right away
                return folder.id

            ids = {done.result() for done in [pool.submit(use) for _ in range(4)]}
            stored = json.loads(file_of(place, "JOURNAL.json").read_text())
            assert ids == {stored["id"]}
            assert stored["version"] == marker.VERSION
            assert not [*place.glob("JOURNAL.json.*")]


def test_a_marker_that_a_kill_left_empty_is_written_anew(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 1 wrote it in its place."""
    monkeypatch.setattr(marker, "_SETTLE_S", 0.1)
    (tmp_path / "JOURNAL.json").write_text("")
    folder = Folder(str(tmp_path))
    assert folder.id
    assert Folder(str(tmp_path)).id == folder.id


def test_what_a_kill_left_of_a_marker_makes_no_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "JOURNAL.json.0123456789ab").write_text('{"form')
    assert Folder(str(tmp_path)).id


def test_what_another_first_user_makes_meanwhile_makes_no_foreign_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Folder.files
    others: list[str] = []

    def make_first(self: Folder) -> dict[str, pafs.FileInfo]:
        monkeypatch.setattr(Folder, "files", real)
        others.append(Folder(str(tmp_path)).id)
        (tmp_path / "segment-1.jsonl").write_text("")
        return real(self)

    monkeypatch.setattr(Folder, "files", make_first)
    assert [Folder(str(tmp_path)).id] == others

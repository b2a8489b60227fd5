"""Single bits that flip anywhere in a journal: never another answer, little lost, and what is lost is named."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.journals import entries, entry, file_of, incompressible, note, texts_of, write

from raydistill.teacher.journal import Damage, Folder, Reader, compaction, sealed
from raydistill.teacher.journal.readings import answer_of
from raydistill.teacher.journal.records import Entry, encode, keys_of
from raydistill.teacher.journal.scan import scan

FLIPS = 1000


def journal_of(path: Path, lines: list[Entry], *, is_sealed: bool) -> Path:
    """Write a journal of one file, and return that file."""
    folder = Folder(str(path))
    write(folder, lines).close()
    if is_sealed:
        compaction.compact(folder)
    return file_of(path, "sealed-*" if is_sealed else "segment-*")


@pytest.mark.parametrize("form", ["segment", "sealed"])
def test_a_flipped_bit_never_changes_an_answer(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through `Reader` and `scan`, over a segment and a sealed file of several frames."""
    monkeypatch.setattr(sealed, "FRAME_BYTES", 8 << 10)
    replies = [entry(i, [f"{i} {sample} {incompressible(i, 200)}" for sample in range(1 + i % 2)]) for i in range(60)]
    file = journal_of(tmp_path, [*replies[:30], note(1), *replies[30:], note(2)], is_sealed=form == "sealed")
    whole = file.read_bytes()
    folder = Folder(str(tmp_path))
    expected = texts_of(Reader(folder), replies)
    lines = {encode(line) for line in scan(folder)}
    most_lost = 2 if form == "segment" else 60  # samples
    rng = random.Random(0)
    noticed = 0
    for _ in range(FLIPS):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        reader = Reader(folder)
        texts = texts_of(reader, replies)
        lost = sum(text is None for text in texts)
        assert all(text in (None, right) for text, right in zip(texts, expected, strict=True))
        damage: list[Damage] = []
        scanned = {encode(line) for line in scan(folder, damage)}
        assert scanned <= lines
        assert len(lines) - len(scanned) <= most_lost
        if form == "segment":
            assert lost <= 4
        assert damage or scanned == lines  # the case of a hexadecimal digit does not matter
        assert {item.file for item in damage} <= {file.name}
        assert all(0 <= item.offset < len(whole) for item in damage)
        if lost:
            assert set(reader.damage) == set(damage)
        noticed += bool(damage)
    assert noticed > 0.97 * FLIPS


@given(st.lists(st.lists(st.text(), min_size=1, max_size=4), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=40)
def test_a_torn_tail_loses_that_line_alone(samples: list[list[str]], share: float) -> None:
    samples = [[text.encode("utf-16", "ignore").decode("utf-16", "ignore") for text in group] for group in samples]
    with tempfile.TemporaryDirectory() as path:
        replies = [entry(i, group) for i, group in enumerate(samples)]
        segment = journal_of(Path(path), replies, is_sealed=False)
        lines = segment.read_bytes().splitlines(keepends=True)
        last = len(lines[-1])
        segment.write_bytes(b"".join(lines)[: -max(1, int(share * last))])
        folder = Folder(path)
        reader = Reader(folder)
        whole = [text for group in samples[:-1] for text in group]
        assert texts_of(reader, replies[:-1]) == whole
        assert texts_of(reader, replies[-1:]) == [None] * len(samples[-1])
        compaction.compact(folder)
        assert texts_of(Reader(folder), replies[:-1]) == whole
        assert not reader.damage


def test_a_damaged_newline_at_the_end_is_no_torn_line(tmp_path: Path) -> None:
    segment = journal_of(tmp_path, entries(3), is_sealed=False)
    content = segment.read_bytes()
    segment.write_bytes(content[:-1] + b"\x0b")
    folder = Folder(str(tmp_path))
    reader = Reader(folder)
    assert texts_of(reader, entries(3)) == ["text 0", "text 1", None]
    [damage] = reader.damage
    assert damage.offset == content.rindex(b"\n", 0, -1) + 1
    assert str(damage) == f"{segment.name}, byte {damage.offset:,}: a line is damaged and left out"


def test_a_line_that_rots_after_it_was_indexed_is_named(tmp_path: Path) -> None:
    for form in ("segment", "sealed"):
        path = tmp_path / form
        file = journal_of(path, entries(3), is_sealed=form == "sealed")
        reader = Reader(Folder(str(path)))
        content = file.read_bytes()
        file.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
        assert texts_of(reader, entries(3)).count(None) == (1 if form == "segment" else 3)
        [damage] = reader.damage
        assert damage.file == file.name


V1 = Path(__file__).parent / "data" / "journal_v1_mixed"


def test_a_flipped_bit_in_a_compacted_file_of_version_1_breaks_nothing_else(tmp_path: Path) -> None:
    """Version 1 wrote them without checksums: what Arrow notices is named, kept, and costs its row groups alone."""
    name = sorted(path.name for path in V1.glob("entries-*"))[0]
    whole = (V1 / name).read_bytes()
    groups = pq.ParquetFile(V1 / name).num_row_groups
    shutil.copytree(V1, tmp_path / "all")
    expected = {key: answer_of(e, key) for e in scan(Folder(str(tmp_path / "all"))) for key in keys_of(e)}
    elsewhere = {
        key: answer
        for key, answer in expected.items()
        if answer is not None and key.encode() in b"".join(path.read_bytes() for path in V1.glob("segment-*"))
    }
    assert groups > 3
    assert elsewhere
    rng = random.Random(0)
    noticed = 0
    for number in range(150):
        path = tmp_path / f"{number}"
        shutil.copytree(V1, path)
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (path / name).write_bytes(content)
        before: list[Damage] = []
        scanned = {keys_of(e)[0] for e in scan(Folder(str(path), read_only=True), before)}
        folder = Folder(str(path))
        reader = Reader(folder)
        damage: list[Damage] = []
        compaction.compact(folder, damage)
        assert damage == before
        assert {keys_of(e)[0] for e in scan(folder)} == scanned
        sealed_reader = Reader(folder)
        for key, answer in elsewhere.items():
            assert reader.get(key) == sealed_reader.get(key) == answer
        if damage:
            noticed += 1
            assert {item.file for item in damage} == {name}
            assert (path / f"{name}.damaged").read_bytes() == content
        else:
            assert not [*path.glob("*.damaged")]
        shutil.rmtree(path)
    assert noticed > 15

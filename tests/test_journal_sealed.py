"""Sealed files: the lines come out as they went in, for `zstdcat` too, and a damaged piece is lost alone, by name."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.journals import incompressible

from raydistill.teacher.journal import sealed
from raydistill.teacher.journal.index import short_key
from raydistill.teacher.journal.problems import Damage

Lines = list[tuple[bytes, list[str]]]

KEYS = st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=3)
LINES = st.lists(
    st.tuples(st.binary(max_size=300).map(lambda text: text.replace(b"\n", b"") + b"\n"), KEYS), max_size=40
)


def file_with(lines: Lines) -> io.BytesIO:
    stream = io.BytesIO()
    assert sealed.write(stream, lines) == sum(len(keys) for _, keys in lines)
    return stream


def read_all(stream: io.BytesIO) -> tuple[list[bytes], list[Damage]]:
    """Return the lines of a file, and its damage."""
    damage: list[Damage] = []
    lines: list[bytes] = []
    for header in sealed.headers(stream, "file", damage):
        content = sealed.read(stream, "file", header)
        if isinstance(content, Damage):
            damage.append(content)
        else:
            lines += io.BytesIO(content)
    return lines, damage


@given(LINES, st.integers(1, 2000))
@settings(max_examples=200)
def test_any_lines_come_out_as_they_went_in(lines: Lines, frame_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "FRAME_BYTES", frame_bytes)
        stream = file_with(lines)
    damage: list[Damage] = []
    headers = [*sealed.headers(stream, "file", damage)]
    contents = [sealed.read(stream, "file", header) for header in headers]
    assert not damage
    replies = [line for line, keys in lines if keys]
    notes = [line for line, keys in lines if not keys]
    of_replies = [content for header, content in zip(headers, contents, strict=True) if len(header.keys)]
    of_notes = [content for header, content in zip(headers, contents, strict=True) if not len(header.keys)]
    assert b"".join(of_replies) == b"".join(replies)  # type: ignore[arg-type]
    assert b"".join(of_notes) == b"".join(notes)  # type: ignore[arg-type]
    indexed = [int(key) for header in headers for key in header.keys]
    assert indexed == [short_key(key) for _, keys in lines for key in keys]
    for header, content in zip(headers, contents, strict=True):
        assert sealed.read_at(stream, "file", header.offset) == content
        assert header.raw_bytes <= frame_bytes or content.count(b"\n") == 1  # type: ignore[union-attr]


def many_lines() -> Lines:
    """Return replies of about 1 kB, and notes among them."""
    lines: Lines = []
    for i in range(800):
        keys = [] if i % 5 == 0 else [f"{i:064x}"]
        lines.append((f"{i} {incompressible(i, 1000)}\n".encode(), keys))
    return lines


def test_zstdcat_prints_the_lines(tmp_path: Path) -> None:
    lines = many_lines()
    path = tmp_path / "sealed-1.zst"
    path.write_bytes(file_with(lines).getvalue())
    expected = b"".join(sorted(line for line, _ in lines))
    if shutil.which("zstdcat"):
        printed = subprocess.run(["zstdcat", str(path)], capture_output=True, check=True).stdout
        assert b"".join(sorted(io.BytesIO(printed))) == expected
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        assert b"".join(sorted(io.BytesIO(stream.read()))) == expected


def test_a_flipped_bit_costs_one_frame_at_the_most_and_is_named() -> None:
    lines = many_lines()
    whole = file_with(lines).getvalue()
    stream = io.BytesIO(whole)
    frames = {header.offset: header for header in sealed.headers(stream, "file", [])}
    most = max(sealed.read(stream, "file", header).count(b"\n") for header in frames.values())  # type: ignore[union-attr]
    valid = {line for line, _ in lines}
    rng = random.Random(0)
    for _ in range(1000):
        content = bytearray(whole)
        flipped = rng.randrange(len(content))
        content[flipped] ^= 1 << rng.randrange(8)
        read, damage = read_all(io.BytesIO(content))
        assert set(read) <= valid
        assert len(read) >= len(lines) - most
        [item] = damage
        assert item.file == "file"
        assert item.offset in frames
        assert item.offset <= flipped < frames[item.offset].end


@pytest.mark.parametrize("search_bytes", [5, 64])
def test_the_next_header_is_found_wherever_it_lies(search_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may begin in one block that is searched, and end in the next."""
    monkeypatch.setattr(sealed, "FRAME_BYTES", 1)
    monkeypatch.setattr(sealed, "_SEARCH_BYTES", search_bytes)
    lines: Lines = [(b"x" * i + b"\n", []) for i in range(64)]
    whole = file_with(lines).getvalue()
    offsets = [header.offset for header in sealed.headers(io.BytesIO(whole), "file", [])]
    assert len(offsets) == 64
    for i, offset in enumerate(offsets):
        read, damage = read_all(io.BytesIO(whole[:offset] + b"?" + whole[offset + 1 :]))
        assert read == [line for line, _ in lines[:i] + lines[i + 1 :]]
        assert [item.offset for item in damage] == [offset]


@pytest.mark.parametrize("cut", [1, 5, 40, 100_000])
def test_a_file_that_is_cut_gives_its_whole_frames(cut: int) -> None:
    lines = many_lines()
    read, damage = read_all(io.BytesIO(file_with(lines).getvalue()[:-cut]))
    assert 0 < len(read) < len(lines)
    assert set(read) < {line for line, _ in lines}
    assert len(damage) == 1


def test_what_is_no_sealed_file_is_damage() -> None:
    for content in (b"x", b"junk" * 1000, bytes(4000)):
        assert read_all(io.BytesIO(content)) == (
            [],
            [Damage("file", 0, "the header of a frame is damaged, and its lines are left out")],
        )
    assert read_all(io.BytesIO(b"")) == ([], [])

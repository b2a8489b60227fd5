"""`raydistill inspect` of a journal: what was bought, what is lost, what is damaged; the journal as a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.journals import BUYER, entries, entry, file_of, reply, request, write

from raydistill.runtime.errors import UserError
from raydistill.teacher import inspect
from raydistill.teacher.journal import Folder, Reader, compaction, records
from raydistill.teacher.journal.readings import ENTRIES
from raydistill.teacher.limits.amount import Amount


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Make a run with a journal: replies of one and two samples, one that cannot be read, a call without a reply."""
    (tmp_path / "settings.yaml").write_text("{}")
    unreadable = reply(200, request(200).keys([0]), "<html>")
    lost = records.lost_call("k", Amount(0.25, 70), "timed out", BUYER)
    lines = [*entries(100), *(entry(i, [f"{i} a", f"{i} b"]) for i in range(100, 110)), unreadable, lost]
    folder = Folder(str(tmp_path / "journal"))
    write(folder, lines[:50]).close()
    compaction.compact(folder)
    write(folder, lines[50:]).close()
    return tmp_path


def test_a_look_shows_what_was_bought_and_what_is_wrong(run_dir: Path) -> None:
    shown = inspect.report(str(run_dir), samples=3)
    assert "m: 111 calls, 121 samples, 1,120 + 478 tokens, 1 unreadable, 0 cut by length" in shown
    assert "zero_shot  1 calls without a reply, which may have taken 70 tokens, $0.25" in shown
    assert shown.count("--- answered ---") == 3
    assert "left out" not in shown
    segment = file_of(run_dir / "journal", "segment-*")
    segment.write_bytes(segment.read_bytes().replace(b"text 70", b"text 7X"))
    names = sorted(path.name for path in (run_dir / "journal").iterdir())
    damaged = inspect.report(str(run_dir))
    assert f"left out: {segment.name}, byte " in damaged
    assert "110 calls, 120 samples" in damaged
    assert sorted(path.name for path in (run_dir / "journal").iterdir()) == names
    compaction.compact(Folder(str(run_dir / "journal")))
    assert f"kept, as a part of it is damaged: {segment.name}.damaged" in inspect.report(str(run_dir))


def test_the_journal_is_written_as_a_table_with_checksums(run_dir: Path) -> None:
    file = run_dir / "table.parquet"
    command = [sys.executable, "-m", "raydistill", "inspect", str(run_dir), "--export", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{file}: 121 samples of the journal {run_dir / 'journal'}" in done.stdout
    table = pq.ParquetFile(file, page_checksum_verification=True).read()
    assert table.schema.equals(ENTRIES)
    reader = Reader(Folder(str(run_dir / "journal")))
    for row in table.to_pylist():
        answer = reader.get(row["key"].hex())
        assert answer is not None
        assert (row["text"], row["problem"], row["usd"]) == (answer.text, answer.problem, answer.usd)
    text = table["text"].chunk(0).buffers()[2]
    assert text is not None
    content = bytearray(file.read_bytes())
    damaged = 0
    for offset in range(4, len(content) // 2, 997):
        content[offset] ^= 1
        file.write_bytes(content)
        content[offset] ^= 1
        try:
            same = pq.ParquetFile(file, page_checksum_verification=True).read().equals(table)
        except (OSError, ValueError):
            damaged += 1
        else:
            assert same
    assert damaged


def test_a_table_that_cannot_be_written_is_said(run_dir: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/table\.parquet failed"):
        inspect.export(str(run_dir), str(run_dir / "file.yaml" / "nowhere" / "table.parquet"))
    with pytest.raises(UserError, match="There is no run directory"):
        inspect.export(str(run_dir / "none"), str(run_dir / "table.parquet"))

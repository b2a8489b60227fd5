"""The run directory: complete tables, fingerprints, and what a half-written one means."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.runtime.errors import UserError
from raydistill.runtime.files import identity
from raydistill.runtime.store import Store, content_hash, fingerprint

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})


@pytest.fixture(params=["path", "uri"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "run") if request.param == "path" else f"file://{tmp_path}/run")


def test_a_written_table_reads_back_and_is_current_under_its_key_alone(store: Store) -> None:
    key = fingerprint("t", {"x": 1})
    assert not store.is_current("t", key)
    store.write("t", TABLE, key)
    assert store.read("t").equals(TABLE)
    assert store.is_current("t", key)
    assert not store.is_current("t", fingerprint("t", {"x": 2}))


def test_a_table_with_failed_rows_is_read_but_not_current(store: Store) -> None:
    store.write("t", TABLE, "k", failed=2)
    assert not store.is_current("t", "k")
    assert store.read("t").num_rows == 3


def test_an_unfinished_table_is_refused_by_name(store: Store) -> None:
    with pytest.raises(UserError, match="'t'"):
        store.read("t")


def test_content_hash_is_of_rows_not_of_chunks() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert content_hash(chunked) == content_hash(TABLE)
    assert content_hash(TABLE.slice(0, 2)) != content_hash(TABLE)
    sliced = pa.concat_tables([TABLE, TABLE]).slice(3)
    assert content_hash(sliced) == content_hash(TABLE)


@given(
    st.lists(
        st.tuples(
            st.text(max_size=5) | st.none(),
            st.lists(st.fixed_dictionaries({"x": st.floats(allow_nan=False, width=32) | st.none()}), max_size=3),
            st.booleans() | st.none(),
        ),
        max_size=8,
    )
)
def test_a_table_read_back_hashes_as_the_one_that_was_written(rows):
    kinds = [pa.string(), pa.list_(pa.struct([("x", pa.float32())])), pa.bool_()]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    table = pa.table([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], ["a", "b", "c"])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    assert content_hash(pq.read_table(pa.BufferReader(sink.getvalue()))) == content_hash(table)


def test_fingerprint_ignores_key_order() -> None:
    assert fingerprint({"a": 1, "b": [1]}) == fingerprint({"b": [1], "a": 1})


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_unwritable_directory_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        Store(str(tmp_path / "run"))


def test_a_file_in_the_way_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a directory")
    with pytest.raises(UserError, match="cannot be written"):
        Store(str(tmp_path / "run"))


NO_SPACE = """
import os, resource, sys
import pyarrow as pa
from raydistill.runtime.errors import UserError
from raydistill.runtime.store import Store
store = Store(sys.argv[1])
store.write("small", pa.table({"a": [1, 2, 3]}), "k")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for write in (
    lambda: store.write("large", pa.table({"a": [os.urandom(99).hex() for _ in range(10_000)]}), "k"),
    lambda: store.write_text("report.html", "x" * 200_000),
):
    try:
        write()
    except UserError as error:
        print(str(error).replace("\\n", " "))
assert store.is_current("small", "k") and store.manifest("large") is None
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_named_and_what_was_finished_stays(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    done = subprocess.run([sys.executable, "-c", NO_SPACE, run], capture_output=True, text=True, check=True)
    table, text = done.stdout.splitlines()
    assert f"No space left on device for tables/large in the run directory {run}" in table
    assert f"No space left on device for report.html in the run directory {run}" in text
    assert "Free space" in table
    assert "same command again" in table
    sizes = [path.stat().st_size for path in Path(run).rglob("*") if path.is_file()]
    assert sum(sizes) < 10_000  # no partial file takes up space


def test_a_file_or_folder_is_known_by_what_it_holds(tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"one")
    as_file, as_folder = identity(str(weights)), identity(str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.gguf").write_bytes(b"one")
    assert identity(str(tmp_path / "elsewhere")) == as_folder
    weights.write_bytes(b"two")
    assert identity(str(weights)) != as_file
    assert identity(str(tmp_path)) != as_folder
    for name in ("", "google/flan-t5-small", str(tmp_path / "nothing.gguf")):
        assert identity(name) == name

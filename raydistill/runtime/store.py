"""The run directory: Parquet tables, their fingerprints, and the manifest that explains them.

    <run>/tables/<name>/part-0.parquet   the table
    <run>/tables/<name>.json             written last: fingerprint, rows, content hash, when, versions
    <run>/settings.yaml                  the settings of the last command

A table is complete when its .json is there; it is current when the recorded fingerprint is that of today's settings and
inputs. Inputs count by their content, so that a stage that ran again and gave the same rows re-runs nothing after it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import platform
import subprocess
import time
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raydistill import __version__
from raydistill.runtime import files
from raydistill.runtime.errors import UserError, storage_error

HASHED_ROWS = 10_000  # rows of a table in memory as Python values at once
GIT_TIMEOUT_S = 10
VERSIONED_PACKAGES = ("ray", "torch", "transformers", "sentence-transformers", "scikit-learn", "openai")


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256 (hex) of any JSON-able parts, stable over processes and key order."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 (hex) of a table's columns and rows as values.

    A table that was read back has the hash of the one that was written. Arrow's own bytes would not: they differ with
    chunks, offsets and validity buffers.
    """
    digest = hashlib.sha256(repr(table.column_names).encode())
    for batch in table.to_batches(max_chunksize=HASHED_ROWS):
        for row in batch.to_pylist():
            digest.update(json.dumps(list(row.values()), default=str).encode())
    return digest.hexdigest()


class Store:
    """One run's directory, on a local path or any `pyarrow.fs` URI.

    Args:
        path: the directory; it is created.
        read_only: look at an existing directory and write nothing.

    Raises:
        UserError: the directory cannot be opened or written.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        try:
            self.fs, self.root = files.filesystem(path)
            if not read_only:
                self._check_writable()
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"The run directory {path} cannot be written: {error}",
                "Give another one with --run_dir, or make this one writable.",
            ) from None

    def _check_writable(self) -> None:
        """Create the directory and a file in it: a run should fail at its start, not after its first stage."""
        self.fs.create_dir(f"{self.root}/tables", recursive=True)
        probe = f"{self.root}/tables/.writable-{uuid.uuid4().hex}"  # another command may try at the same moment
        with self.fs.open_output_stream(probe) as stream:
            stream.write(b"")
        self.fs.delete_file(probe)

    @property
    def is_local(self) -> bool:
        """True if the run directory is on this machine's file system."""
        return files.is_local(self.fs)

    def finished(self) -> list[str]:
        """Return the names of the complete tables."""
        selector = pafs.FileSelector(f"{self.root}/tables", allow_not_found=True)
        names = [info.base_name for info in self.fs.get_file_info(selector)]
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def manifest(self, name: str) -> dict[str, Any] | None:
        """Return what was recorded when table `name` was finished; None while it is not."""
        text = self.read_text(f"tables/{name}.json")
        if text is None:
            return None
        return json.loads(text)

    def is_current(self, name: str, key: str) -> bool:
        """Return whether table `name` is complete, without failed rows to retry, and made under fingerprint `key`."""
        manifest = self.manifest(name)
        return manifest is not None and manifest["fingerprint"] == key and not manifest.get("failed")

    def read(self, name: str) -> pa.Table:
        """Return table `name`.

        Raises:
            UserError: the table is not finished.
        """
        if self.manifest(name) is None:
            raise UserError(f"{self.path} has no finished table {name!r}", "Run the pipeline on this directory first.")
        return pq.read_table(self._part(name), filesystem=self.fs)

    def write(self, name: str, table: pa.Table, key: str, **facts: Any) -> pa.Table:
        """Write table `name` whole, then its manifest, which makes it complete.

        Args:
            name: name of the table.
            table: its rows.
            key: fingerprint of the settings and inputs that it was made from.
            **facts: further entries of the manifest, such as `failed`, the number of rows to retry.

        Returns:
            `table`.

        Raises:
            UserError: the storage rejects the write (a full disk).
        """
        with self._storage_errors(f"tables/{name}"):
            # The old manifest goes first: after a crash it must not vouch for the new rows.
            self.invalidate(name)
            self.fs.create_dir(f"{self.root}/tables/{name}", recursive=True)
            with files.write_atomically(self.fs, self._part(name)) as stream:
                pq.write_table(table, stream, compression="zstd")
        manifest = {
            "fingerprint": key,
            "content": content_hash(table),
            "rows": table.num_rows,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": versions(),
            **facts,
        }
        self.write_text(f"tables/{name}.json", json.dumps(manifest, indent=1))
        return table

    def invalidate(self, name: str) -> None:
        """Delete the manifest of table `name`, so that the table is not complete any more."""
        self.delete(f"tables/{name}.json")

    def read_text(self, name: str) -> str | None:
        """Return the content of text file `name` of the run directory; None if there is no such file."""
        path = f"{self.root}/{name}"
        if not files.exists(self.fs, path):
            return None
        with self.fs.open_input_stream(path) as stream:
            return stream.readall().decode()

    def write_text(self, name: str, text: str) -> None:
        """Write text file `name` of the run directory, whole or not at all.

        Raises:
            UserError: the storage rejects the write (a full disk).
        """
        path = f"{self.root}/{name}"
        with self._storage_errors(name):
            self.fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
            with files.write_atomically(self.fs, path) as stream:
                stream.write(text.encode())

    def delete(self, name: str) -> None:
        """Delete a file or folder of the run directory, if it is there."""
        files.delete(self.fs, f"{self.root}/{name}")

    def _part(self, name: str) -> str:
        return f"{self.root}/tables/{name}/part-0.parquet"

    @contextlib.contextmanager
    def _storage_errors(self, name: str) -> Iterator[None]:
        """Turn an OSError while `name` is written into a UserError."""
        try:
            yield
        except OSError as error:
            raise UserError(*storage_error(f"{name} in the run directory {self.path}", error)) from None


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a result may depend on; `commit` if the package runs from a git checkout."""
    result = {"python": platform.python_version(), "raydistill": __version__}
    for package in VERSIONED_PACKAGES:
        result[package] = metadata.version(package)
    commit = _commit()
    if commit:
        result["commit"] = commit
    return result


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""

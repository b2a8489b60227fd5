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
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raydistill import __version__
from raydistill.runtime.errors import UserError, storage_refused


def fingerprint(*parts: Any) -> str:
    """SHA-256 (hex) of any JSON-able parts, stable over processes and key order."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(table: pa.Table) -> str:
    """SHA-256 (hex) of a table's columns and rows as values: a table read back hashes as the one that was written.

    (Arrow's own bytes differ with chunks, offsets and validity buffers.)
    """
    digest = hashlib.sha256(repr(table.column_names).encode())
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            digest.update(json.dumps(list(row.values()), default=str).encode())
    return digest.hexdigest()


def identity(name: str) -> str:
    """What stands for a file or a folder's files: their content's hash; of what is neither, the name."""
    place = Path(name).expanduser()
    files = sorted(p for p in place.iterdir() if p.is_file()) if name and place.is_dir() else [place]
    if not name or not all(p.is_file() for p in files):
        return name
    return _files_hash(tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files))


@functools.lru_cache(maxsize=256)
def _files_hash(files: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 (hex) of files given as (path, size, time changed): read once while they stay as they are."""
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(f"{Path(path).name} {size}\n".encode())
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


class Store:
    """One run's directory, on a local path or any `pyarrow.fs` URI; `read_only` where it is only looked at."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self.fs: pafs.FileSystem
        self.root: str
        try:
            self.fs, self.root = pafs.FileSystem.from_uri(path) if "://" in path else (pafs.LocalFileSystem(), path)
            if read_only:
                return
            self.fs.create_dir(f"{self.root}/tables", recursive=True)
            probe = f"{self.root}/tables/.writable"
            with self.fs.open_output_stream(probe) as stream:
                stream.write(b"")
            self.fs.delete_file(probe)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"The run directory {path} cannot be written: {error}",
                "Give another one with --run_dir, or make this one writable.",
            ) from None

    @property
    def is_local(self) -> bool:
        return isinstance(self.fs, pafs.LocalFileSystem)

    def manifest(self, name: str) -> dict[str, Any] | None:
        """What was recorded when table `name` was finished; None while it is not."""
        text = self.read_text(f"tables/{name}.json")
        return json.loads(text) if text is not None else None

    def is_current(self, name: str, key: str) -> bool:
        """True where table `name` is complete, has no failed rows to retry, and was made under fingerprint `key`."""
        done = self.manifest(name)
        return done is not None and done["fingerprint"] == key and not done.get("failed")

    def read(self, name: str) -> pa.Table:
        """Table `name`; UserError where it is not finished."""
        if self.manifest(name) is None:
            raise UserError(f"{self.path} has no finished table {name!r}", "Run the pipeline on this directory first.")
        return pq.read_table(f"{self.root}/tables/{name}/part-0.parquet", filesystem=self.fs)

    def write(self, name: str, table: pa.Table, key: str, **facts: Any) -> pa.Table:
        """Write table `name` whole, then its manifest (which makes it complete); returns the table.

        UserError where the storage refuses (a full disk).
        """
        with self._writing(f"tables/{name}"):
            self.drop(name)
            self.fs.create_dir(f"{self.root}/tables/{name}", recursive=True)
            pq.write_table(table, f"{self.root}/tables/{name}/part-0.parquet", filesystem=self.fs, compression="zstd")
        done = {
            "fingerprint": key,
            "content": content_hash(table),
            "rows": table.num_rows,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": versions(),
            **facts,
        }
        self.write_text(f"tables/{name}.json", json.dumps(done, indent=1))
        return table

    def drop(self, name: str) -> None:
        """Take table `name` out of the complete ones."""
        path = f"{self.root}/tables/{name}.json"
        if self.fs.get_file_info(path).type != pafs.FileType.NotFound:
            self.fs.delete_file(path)

    def read_text(self, name: str) -> str | None:
        """Text file `name` below the run directory; None where it does not exist."""
        path = f"{self.root}/{name}"
        if self.fs.get_file_info(path).type == pafs.FileType.NotFound:
            return None
        with self.fs.open_input_stream(path) as stream:
            return stream.readall().decode()

    def forget(self, name: str) -> None:
        """Delete a file or folder of the run directory, if it is there."""
        path = f"{self.root}/{name}"
        kind = self.fs.get_file_info(path).type
        if kind == pafs.FileType.File:
            self.fs.delete_file(path)
        elif kind == pafs.FileType.Directory:
            self.fs.delete_dir(path)

    def write_text(self, name: str, text: str) -> None:
        """Write text file `name` below the run directory, never half (local paths: write aside, then rename).

        UserError where the storage refuses (a full disk).
        """
        path = f"{self.root}/{name}"
        aside = f"{path}.part" if self.is_local else path
        with self._writing(name, aside):
            self.fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
            with self.fs.open_output_stream(aside) as stream:
                stream.write(text.encode())
            if self.is_local:
                self.fs.move(aside, path)

    @contextlib.contextmanager
    def _writing(self, what: str, torso: str = "") -> Iterator[None]:
        """Storage that refuses is a UserError; the file `torso` gives its room back."""
        try:
            yield
        except OSError as error:
            if torso:
                with contextlib.suppress(OSError):
                    self.fs.delete_file(torso)
            raise UserError(*storage_refused(f"{what} in the run directory {self.path}", error)) from None


@functools.cache
def versions() -> dict[str, str]:
    """Versions that a result may depend on; `commit` where the package runs from a git checkout."""
    packages = ["ray", "torch", "transformers", "sentence-transformers", "scikit-learn", "openai"]
    found = {"python": platform.python_version(), "raydistill": __version__}
    found |= {name: metadata.version(name) for name in packages}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        ask = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
        shown = subprocess.run(ask, capture_output=True, text=True, timeout=10)
        if shown.returncode == 0:
            found["commit"] = shown.stdout.strip()
    return found

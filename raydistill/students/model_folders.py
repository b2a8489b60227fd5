"""Model folders of a run directory that may be local or any `pyarrow.fs` URI."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow.fs as pafs

from raydistill.runtime.files import filesystem
from raydistill.runtime.store import Store, fingerprint


def publish(local: Path, store: Store, name: str) -> None:
    """Move a local folder into the run's directory, in place of an earlier one."""
    target = f"{store.root}/{name}"
    if store.is_local:
        shutil.rmtree(target, ignore_errors=True)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(str(local), target)
    else:
        pafs.copy_files(str(local), target, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=store.fs)


def fetch(location: str) -> str:
    """Return a local copy of the folder at URI `location`, made once per machine."""
    local = Path(tempfile.gettempdir(), "raydistill-students", fingerprint(location)[:16])
    if local.is_dir():
        return str(local)
    fs, root = filesystem(location)
    local.parent.mkdir(parents=True, exist_ok=True)
    partial_folder = Path(tempfile.mkdtemp(dir=local.parent))
    pafs.copy_files(root, str(partial_folder), source_filesystem=fs, destination_filesystem=pafs.LocalFileSystem())
    try:
        partial_folder.rename(local)
    except OSError:  # another process was first
        shutil.rmtree(partial_folder)
        if not local.is_dir():
            raise
    return str(local)

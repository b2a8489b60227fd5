"""JOURNAL.json, the marker of a journal: its format, its version, and an id that tells it from others.

It is written beside its name and put there whole, so that two first users at once get one id.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any, cast

import pyarrow.fs as pafs

from raydistill.runtime import files
from raydistill.teacher.journal.problems import JournalError

FORMAT = "raydistill-journal"
VERSION = 2
NAME = "JOURNAL.json"
_SETTLE_S = 1.0  # where nothing is created exclusively: of several first users within this time the last one wins


def is_marker(name: str) -> bool:
    """Return True if `name` is that of the marker, or of one that is being written (or was, at a kill)."""
    return name == NAME or is_temporary(name)


def is_temporary(name: str) -> bool:
    """Return True if `name` is that of a marker that is being written."""
    return name.startswith(f"{NAME}.")


def read(fs: pafs.FileSystem, path: str) -> dict[str, Any] | None:
    """Return the marker at `path`; None if there is none, or an empty one (version 1 was killed while it wrote it).

    Raises:
        JournalError: it is another program's, or of a newer version.
        OSError: the storage does not give it.
    """
    try:
        with fs.open_input_stream(path) as stream:
            content = stream.readall()
    except FileNotFoundError:
        return None
    if not content:
        return None
    try:
        marker = json.loads(content)
        is_journal = marker["format"] == FORMAT
        version = marker["version"] = int(marker["version"])
    except (ValueError, KeyError, TypeError):
        is_journal = False
    if not is_journal:
        raise JournalError(
            f"{path} is not the marker of a raydistill journal: {content[:80]!r}",
            "Give another folder with --teacher.journal; nothing was changed.",
        )
    if version > VERSION:
        raise JournalError(
            f"The journal of {path} has version {version}; this raydistill reads up to {VERSION}.",
            "Update raydistill, or give another folder with --teacher.journal; nothing was changed.",
        )
    return cast(dict[str, Any], marker)


def create(fs: pafs.FileSystem, path: str) -> None:
    """Write the marker of a new journal, unless somebody else is faster."""
    marker = {"format": FORMAT, "version": VERSION, "id": uuid.uuid4().hex}
    if not files.is_local(fs):
        _create_remote(fs, path, marker)
        return
    with _written_beside(fs, path, marker) as temporary:
        try:
            os.link(temporary, path)  # fails if there is one, unlike a rename
        except OSError:
            if os.path.exists(path) and os.path.getsize(path):
                return
            os.replace(temporary, path)  # storage without links, or an empty marker
            time.sleep(_SETTLE_S)


def _create_remote(fs: pafs.FileSystem, path: str, marker: dict[str, Any]) -> None:
    """Write a marker if there is none, and wait until it, or another first user's, stays."""
    if read(fs, path) is None:
        _write(fs, path, marker)
    before = None
    while before is None or read(fs, path) != before:
        before = read(fs, path)
        time.sleep(_SETTLE_S)


def upgrade(fs: pafs.FileSystem, path: str, marker: dict[str, Any]) -> None:
    """Write `marker`, of an earlier version, anew: earlier versions of raydistill then refuse the journal."""
    marker = marker | {"version": VERSION}
    if not files.is_local(fs):
        _write(fs, path, marker)
        return
    with _written_beside(fs, path, marker) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _written_beside(fs: pafs.FileSystem, path: str, marker: dict[str, Any]) -> Iterator[str]:
    """Write a durable file of a name of its own; the folder is durable, and that file gone, when the block ends."""
    temporary = f"{path}.{uuid.uuid4().hex[:12]}"
    try:
        _write(fs, temporary, marker)
        files.sync(temporary)
        yield temporary
        files.sync(os.path.dirname(path))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _write(fs: pafs.FileSystem, path: str, marker: dict[str, Any]) -> None:
    with fs.open_output_stream(path) as stream:
        stream.write(json.dumps(marker).encode())

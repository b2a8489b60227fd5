"""The journal's place: a local folder or a `pyarrow.fs` URI, with a marker that names its format and version."""

from __future__ import annotations

import json
import uuid

import pyarrow as pa
import pyarrow.fs as pafs

from raydistill.config import Settings, journal_path
from raydistill.runtime import files
from raydistill.runtime.errors import UserError

FORMAT = "raydistill-journal"
VERSION = 1
MARKER = "JOURNAL.json"


class JournalError(UserError):
    """The journal cannot be used or written: a newer version, another format, a full disk."""


class Folder:
    """A journal's place: a local path or a `pyarrow.fs` URI.

    Attributes:
        path: the place as it was given.
        fs: its file system.
        root: the path within `fs`.
        id: tells one journal from another under the same path on another machine; "" if there is no marker yet.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """Open the journal at `path`, or make an empty one there.

        With `read_only` nothing is made, and a folder that does not exist is an empty journal.

        Raises:
            JournalError: the place cannot be opened, holds something else, or a journal of a newer version.
        """
        self.path = path
        self.id = ""
        self.fs: pafs.FileSystem
        self.root: str
        try:
            self.fs, self.root = files.filesystem(path)
            if not read_only:
                self.fs.create_dir(self.root, recursive=True)
            names = self.names()
            marker = self._read_marker(names)
            if marker:
                self.id = self._checked_id(marker)
            elif set(names) - {MARKER}:
                raise JournalError(
                    f"The folder {path} is no raydistill journal: it has files ({names[0]}) but no {MARKER}.",
                    "Give an empty or new folder with --teacher.journal; nothing was changed.",
                )
            elif not read_only:
                self._write_marker()
        except (OSError, pa.ArrowInvalid) as error:
            raise JournalError(
                f"The journal {path} cannot be opened: {error}", "Give another one with --teacher.journal."
            ) from None

    @property
    def is_local(self) -> bool:
        """True if its files can be appended to, synced and locked."""
        return files.is_local(self.fs)

    def names(self) -> list[str]:
        """Names of the files in the folder, sorted; empty if the folder does not exist."""
        entries = self.fs.get_file_info(pafs.FileSelector(self.root, allow_not_found=True))
        return sorted(entry.base_name for entry in entries if entry.type == pafs.FileType.File)

    def path_of(self, name: str) -> str:
        """Path of file `name` within `fs`."""
        return f"{self.root}/{name}"

    def _read_marker(self, names: list[str]) -> bytes:
        """Return the marker's content; empty if there is none, or if a kill cut it short."""
        if MARKER not in names:
            return b""
        with self.fs.open_input_stream(self.path_of(MARKER)) as stream:
            return stream.readall()

    def _checked_id(self, marker: bytes) -> str:
        try:
            content = json.loads(marker)
            is_journal = content["format"] == FORMAT
            version = int(content["version"])
            journal_id = str(content.get("id", ""))
        except (ValueError, KeyError, TypeError):
            is_journal = False
        if not is_journal:
            raise JournalError(
                f"{self.path_of(MARKER)} is not the marker of a raydistill journal: {marker[:80]!r}",
                "Give another folder with --teacher.journal; nothing was changed.",
            )
        if version > VERSION:
            raise JournalError(
                f"The journal {self.path} has version {version}; this raydistill reads up to {VERSION}.",
                "Update raydistill, or give another folder with --teacher.journal; nothing was changed.",
            )
        return journal_id

    def _write_marker(self) -> None:
        # Not written aside: a leftover `.part` would make the next command take the folder for somebody else's.
        self.id = uuid.uuid4().hex
        marker = {"format": FORMAT, "version": VERSION, "id": self.id}
        with self.fs.open_output_stream(self.path_of(MARKER)) as stream:
            stream.write(json.dumps(marker).encode())


def journal_folder(settings: Settings) -> Folder:
    """Open the run's journal, or the shared one that `teacher.journal` names.

    Raises:
        JournalError: see `Folder`.
    """
    return Folder(journal_path(settings.run_dir, settings.teacher.journal))

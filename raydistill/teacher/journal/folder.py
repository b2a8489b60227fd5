"""The journal's place: a local folder or a `pyarrow.fs` URI, with a marker that names its format and version."""

from __future__ import annotations

import io
from typing import IO

import pyarrow as pa
import pyarrow.fs as pafs

from raydistill.config import Settings, journal_path
from raydistill.runtime import files
from raydistill.teacher.journal import marker
from raydistill.teacher.journal.problems import JournalError

__all__ = ["Folder", "JournalError", "journal_folder"]

REMOTE_BUFFER_BYTES = 1 << 18  # that are asked of remote storage at once


class Folder:
    """A journal's place: a local path or a `pyarrow.fs` URI.

    Attributes:
        path: the place as it was given.
        fs: its file system.
        root: the path within `fs`.
        id: tells one journal from another under the same path on another machine; "" if there is no marker yet.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """Open the journal at `path`, or make an empty one there; one of an earlier version becomes one of this.

        With `read_only` nothing is made or changed, and a folder that does not exist is an empty journal.

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
            self._open(read_only)
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
        return sorted(self.files())

    def files(self) -> dict[str, pafs.FileInfo]:
        """Return the files in the folder by name."""
        entries = self.fs.get_file_info(pafs.FileSelector(self.root, allow_not_found=True))
        return {entry.base_name: entry for entry in entries if entry.type == pafs.FileType.File}

    def all_files(self) -> dict[str, pafs.FileInfo]:
        """Return the files in the folder by name, sorted, with those that are sealed meanwhile.

        One listing may miss a segment that is being sealed under both of its names: the new one because it was not
        there yet, the old one because it was gone already. A second one then has the new name.
        """
        listed = self.files() | self.files()
        return {name: listed[name] for name in sorted(listed)}

    def path_of(self, name: str) -> str:
        """Path of file `name` within `fs`."""
        return f"{self.root}/{name}"

    def open(self, name: str, buffer_bytes: int = REMOTE_BUFFER_BYTES) -> IO[bytes]:
        """Open file `name` to read in it.

        Raises:
            FileNotFoundError: it was sealed meanwhile.
        """
        path = self.path_of(name)
        if self.is_local:
            return open(path, "rb")
        return io.BufferedReader(self.fs.open_input_file(path), buffer_bytes)

    def _open(self, read_only: bool) -> None:
        place = self.path_of(marker.NAME)
        content = marker.read(self.fs, place)
        if content is None:
            foreign = [name for name in self.names() if not marker.is_marker(name)]
            content = marker.read(self.fs, place)  # again: what was listed may be what another first user made
            if content is None and foreign:
                reason = f"it has files ({foreign[0]}) but no {marker.NAME}"
                raise JournalError(
                    f"The folder {self.path} is no raydistill journal: {reason}.",
                    "Give an empty or new folder with --teacher.journal; nothing was changed.",
                )
        if not read_only:
            if content is None:
                marker.create(self.fs, place)
                content = marker.read(self.fs, place)
            elif content["version"] < marker.VERSION:
                marker.upgrade(self.fs, place, content)
        self.id = str((content or {}).get("id", ""))


def journal_folder(settings: Settings) -> Folder:
    """Open the run's journal, or the shared one that `teacher.journal` names.

    Raises:
        JournalError: see `Folder`.
    """
    return Folder(journal_path(settings.run_dir, settings.teacher.journal))

"""What can be wrong with a journal: it cannot be used, or a piece of it is damaged and left out."""

from __future__ import annotations

from typing import NamedTuple

from raydistill.runtime.errors import UserError


class JournalError(UserError):
    """The journal cannot be used, read or written: a newer version, another format, a full disk."""


class Damage(NamedTuple):
    """A piece of a file that is left out because its checksum does not fit, or nothing reads it."""

    file: str
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}, byte {self.offset:,}: {self.what}"


def unreadable(place: str, error: OSError) -> JournalError:
    """Return the error of a journal at `place` whose storage does not give its files."""
    return JournalError(
        f"The journal {place} cannot be read: {error}.", "Check its storage and run the same command again."
    )

"""The journal of paid answers: every response is durable here before anything depends on it."""

from raydistill.teacher.journal.storage import Folder, JournalError, Reader, Writer

__all__ = ["Folder", "JournalError", "Reader", "Writer"]

"""The journal of paid answers: every response is durable here before anything depends on it.

    <folder>/JOURNAL.json            format and version, written first
    <folder>/segment-*.jsonl         appended by one writer each: `<crc32> <JSON>` a line, one line per response
    <folder>/entries-*.parquet       compacted segments: one row per sample

A line that a kill tore is recognised (no newline, or a checksum that does not fit) and dropped. Local folders (NFS too)
are appended to and synced in groups of a few milliseconds; on a `pyarrow.fs` URI, which cannot append, a group is a new
object every few seconds. Look-ups go through an index of 16 bytes an entry; texts stay on storage.
"""

from raydistill.teacher.journal.folder import Folder, JournalError
from raydistill.teacher.journal.reader import Reader
from raydistill.teacher.journal.writer import Writer

__all__ = ["Folder", "JournalError", "Reader", "Writer"]

"""The journal of paid answers: every reply is durable here before anything depends on it.

    <folder>/JOURNAL.json            format, version and id, written first
    <folder>/segment-*.jsonl         appended by one writer each: `<crc32> <JSON>` a line, one line a reply or a note
    <folder>/segment-*.room          room on the disk that a writer has reserved
    <folder>/sealed-*.zst            the lines of segments that nobody writes any more, compressed, with an index
    <folder>/entries-*.parquet       compacted segments of version 1; they are sealed, too
    <folder>/*.damaged               what a part of could not be read, kept

A line that a kill tore has no newline, and is dropped. A line or a frame whose checksum does not fit is left out alone,
and named (`Reader.damage`). Local folders (NFS too) are appended to and synced in groups of a few milliseconds; on a
`pyarrow.fs` URI, which cannot append, a group is a new object every few seconds. Look-ups go through an index of 16
bytes a key; texts stay on storage.
"""

from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.problems import Damage, JournalError
from raydistill.teacher.journal.reader import Reader
from raydistill.teacher.journal.segments import Place
from raydistill.teacher.journal.writer import Writer

__all__ = ["Damage", "Folder", "JournalError", "Place", "Reader", "Writer"]

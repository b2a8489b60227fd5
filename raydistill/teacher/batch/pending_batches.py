"""Notes beside the journal about batches that are not taken in yet.

A note is written before its batch is made: a process that died finds its batches again, by id or by the nonce in their
metadata, and sends nothing twice. A note's JSON is read by later versions too: its field names stay.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass

from raydistill.runtime import files
from raydistill.teacher import journal, stage_names
from raydistill.teacher.batch.batch_api import BatchApi
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.amount import Amount


@dataclass
class Note:
    """One batch that was sent or is about to be."""

    nonce: str
    """In the batch's metadata, to find it by if its id was lost."""
    batch: str | None
    """The batch's id; None before the endpoint has told it."""
    run: str
    stage: str
    custom_ids: dict[str, list[int]]
    """Sample indices of each line, by its custom id."""
    most: tuple[float, int] = (0.0, 0)
    """The most that the batch may take, in (USD, tokens)."""


class Notes:
    """The notes of one stage of one run; a journal may hold those of other runs too."""

    def __init__(self, folder: journal.Folder, buyer: Buyer, run_names: Collection[str] = ()) -> None:
        self.folder = folder
        self.buyer = buyer
        self.run_names = {buyer.run, *run_names}

    def make(self, custom_ids: dict[str, list[int]], most: Amount) -> Note:
        """Write and return the note of a batch that is about to be made.

        Args:
            custom_ids: sample indices of each line, by its custom id.
            most: the most that the batch may take.
        """
        note = Note(uuid.uuid4().hex, None, self.buyer.run, self.buyer.stage, custom_ids, most)
        self.save(note)
        return note

    def save(self, note: Note) -> None:
        """Write `note`, over an earlier one of the same batch."""
        with files.write_atomically(self.folder.fs, self._path(note), durable=True) as stream:
            stream.write(json.dumps(asdict(note)).encode())

    def delete(self, note: Note) -> None:
        """Delete the note of a batch that is taken in, or was never made."""
        self.folder.fs.delete_file(self._path(note))

    async def running(self, api: BatchApi) -> list[Note]:
        """Find the batches again whose results are not in the journal yet, by id or by nonce; return their notes."""
        running = []
        for note in self.load():
            if note.batch is None:
                note.batch = await api.find(note.nonce)
            if note.batch is None:
                self.delete(note)  # it was never made
            else:
                running.append(note)
        return running

    def load(self) -> list[Note]:
        """Read the notes of this run and stage."""
        notes = []
        for name in self.folder.names():
            if not name.startswith("batch-") or not name.endswith(".json"):
                continue
            with self.folder.fs.open_input_stream(f"{self.folder.root}/{name}") as stream:
                note = Note(**json.loads(stream.readall()))
            if note.run in self.run_names and note.stage in stage_names.names(self.buyer.stage):
                notes.append(note)
        return notes

    def _path(self, note: Note) -> str:
        return f"{self.folder.root}/batch-{note.nonce}.json"

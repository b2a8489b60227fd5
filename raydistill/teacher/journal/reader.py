"""The journal's reading side: answers by key, whether they lie in a segment or in a sealed file."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from raydistill.teacher.journal import parquet_v1, sealed, segments
from raydistill.teacher.journal.folder import Folder
from raydistill.teacher.journal.index import Index, joined, pack
from raydistill.teacher.journal.problems import Damage, unreadable
from raydistill.teacher.journal.readings import Answer, Reading, read
from raydistill.teacher.journal.records import Entry, decode, keys_of
from raydistill.teacher.journal.segments import Place
from raydistill.teacher.journal.stored import DamageNoted, FileGone, StoredFiles

OnNote = Callable[[Entry, str], None]
"""Takes a note (a line without keys) and the name of the file in which it stands."""


class Reader:
    """Looks answers up by key over all that the folder held at the last `refresh`, and all that was `note`d since."""

    def __init__(self, folder: Folder, on_note: OnNote | None = None) -> None:
        """Index the journal.

        Args:
            folder: its place.
            on_note: see `listen`.

        Raises:
            JournalError: the storage does not give its files.
        """
        self.folder = folder
        self._on_note = on_note
        self._damage = DamageNoted()
        self._stored = StoredFiles(folder, self._damage)
        self._index = Index()
        self._is_indexed = False
        self._indexed_sealed: set[str] = set()  # names
        self._indexed_bytes: dict[str, int] = {}  # by segment
        self._last: tuple[list[int], Reading] | None = None  # the place and the reply that `get` read last
        self.refresh()

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._index)

    @property
    def damage(self) -> list[Damage]:
        """What is left out of the journal, as far as it was met."""
        return list(self._damage.values())

    def refresh(self) -> None:
        """Take in what other writers have made durable since.

        Raises:
            JournalError: the storage does not give its files.
        """
        try:
            while not self._take_in():
                pass
        except OSError as error:
            raise unreadable(self.folder.path, error) from None

    def listen(self, on_note: OnNote) -> None:
        """Hand each note (a line without keys) to `on_note`: those that are known now, and new ones in `refresh`.

        A note comes again when it has been sealed.

        Raises:
            JournalError: the storage does not give its files.
        """
        self._on_note = on_note
        self._indexed_sealed.clear()
        self._indexed_bytes.clear()
        self._index = Index()
        self.refresh()

    def note(self, keys: Sequence[str], place: Place) -> None:
        """Index a reply that this process has just made durable at `place`."""
        packed = pack(self._stored.number(place.name), place.offset)
        for key in keys:
            self._index.add(key, packed)
        if self._indexed_bytes.get(place.name, 0) == place.offset:
            self._indexed_bytes[place.name] = place.offset + place.size

    def get(self, key: str) -> Answer | None:
        """Return the answer under `key`: of several the newest that can be read; None if nobody has bought it.

        Raises:
            JournalError: the storage does not give its files.
        """
        while True:
            places = self._index.find(key)
            if not places:
                return None
            answer = self._from_last(key, places)
            if answer is not None:
                return answer
            try:
                return self._newest(key, places)
            except FileGone as gone:  # sealed by somebody meanwhile: look for the file it went into
                self._index.drop_file(gone.number)
                self._indexed_bytes.pop(self._stored.name(gone.number), None)
                self.refresh()
            except OSError as error:
                raise unreadable(self.folder.path, error) from None

    def _from_last(self, key: str, places: list[int]) -> Answer | None:
        """Return the answer if it is another sample of the reply that was read last, and stands nowhere else."""
        if self._last is None:
            return None
        last_places, reading = self._last
        if places != last_places or key not in keys_of(reading.entry):
            return None
        return reading.answer(key)

    def _newest(self, key: str, places: list[int]) -> Answer | None:
        """Return the answer of the newest reply that can be read; if none can, the newest of those."""
        if len(places) == 1:
            entries = self._stored.entries(places[0], key, 1)
        else:
            entries = []
            for place, count in Counter(places).items():
                entries += self._stored.entries(place, key, count)
        entries.sort(key=lambda entry: entry["time"], reverse=True)
        unreadable_answer = None
        for entry in entries:
            reading = read(entry)
            answer = reading.answer(key)
            if answer is not None and not answer.problem:
                self._last = (places, reading) if len(places) == 1 else None
                return answer
            unreadable_answer = unreadable_answer or answer
        return unreadable_answer

    def _take_in(self) -> bool:
        """Index what is new; return False if a file was sealed meanwhile, and the one it went into is to be found."""
        files = self.folder.files()
        if not self._is_indexed or not self._indexed_bytes.keys() <= files.keys():
            files |= self.folder.files()  # as in Folder.all_files
        is_complete = True
        for name in sorted(files):
            try:
                if sealed.is_sealed(name) or parquet_v1.is_parquet(name):
                    self._index_sealed(name)
                elif segments.is_segment(name):
                    self._index_segment(name, files[name].size)
            except FileNotFoundError:
                is_complete = False
        if is_complete:
            self._is_indexed = True
            for name in self._indexed_bytes.keys() - files.keys():
                del self._indexed_bytes[name]
        return is_complete

    def _index_sealed(self, name: str) -> None:
        """Index a file that does not change any more, if it is not indexed yet."""
        if name in self._indexed_sealed:
            return
        headers = self._stored.headers(name)
        number = self._stored.number(name)
        keys = [header.keys for header in headers]
        places = [np.full(len(header.keys), pack(number, header.offset), np.uint64) for header in headers]
        self._index.add_many(joined(keys), joined(places))
        self._indexed_sealed.add(name)
        if self._on_note is None:
            return
        for header in headers:
            if not len(header.keys):
                for line in io.BytesIO(self._stored.frame(name, header)):
                    self._hand_over(decode(line), name)

    def _index_segment(self, name: str, size: int) -> None:
        """Index the lines of a segment that came since it was last read."""
        start = self._indexed_bytes.get(name, 0)
        if not self.folder.is_local and start == size:
            return  # an object: it is there whole or not at all
        number = self._stored.number(name)
        for line in segments.read(self.folder, name, start):
            if line.entry is None:
                self._damage.note(segments.damaged_line(name, line.offset))
                continue
            self._damage.pop((name, line.offset), None)  # NFS may show a line before all of its bytes are there
            for key in keys_of(line.entry):
                self._index.add(key, pack(number, line.offset))
            self._hand_over(line.entry, name)
            self._indexed_bytes[name] = line.offset + len(line.content)

    def _hand_over(self, entry: Entry | None, name: str) -> None:
        if self._on_note is not None and entry is not None and not keys_of(entry):
            self._on_note(entry, name)

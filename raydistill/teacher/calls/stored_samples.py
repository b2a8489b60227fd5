"""A sample, and how the journal gives one that was bought before."""

from __future__ import annotations

from typing import NamedTuple

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.journal.readings import Answer


class Sample(NamedTuple):
    """One sample, or why there is none; both for a reply that was paid for and cannot be read."""

    answer: Answer | None
    error: CallError | None


def sample_of(answer: Answer) -> Sample:
    """Return what the journal holds as a sample."""
    error = CallError("unreadable", answer.problem) if answer.problem else None
    return Sample(answer, error)


class StoredSamples:
    """The journal's samples for one command, which buys a reply that cannot be read once more if it is told to."""

    def __init__(self, reader: journal.Reader, settings: TeacherSettings) -> None:
        self.reader = reader
        self._buys_again = settings.unreadable == "buy_again"
        self._bought_again: set[str] = set()  # keys

    def get(self, key: str) -> Sample | None:
        """Return the sample under `key`; None if it has to be bought."""
        answer = self.reader.get(key)
        if answer is None:
            return None
        if answer.problem and self._buys_again and key not in self._bought_again:
            self._bought_again.add(key)
            return None
        return sample_of(answer)

    def is_settled(self, key: str) -> bool:
        """Return whether the reply for `key` is in the journal, and not just the one that is being bought again."""
        answer = self.reader.get(key)
        return answer is not None and (not answer.problem or key not in self._bought_again)

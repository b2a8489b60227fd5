"""Answer dialogues from the journal, and collect the requests that it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from raydistill.teacher import journal
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request
from raydistill.teacher.caller import Sample

MAX_REQUESTS = 50_000  # of one file, as OpenAI takes them
MAX_BYTES = 190_000_000  # OpenAI takes 200 MB


@dataclass(frozen=True)
class BatchRequest:
    """One line of a batch: samples of a request that the journal does not hold."""

    request: Request
    samples: list[int]
    keys: list[str]
    """Journal keys of the samples."""
    task: str
    kind: str

    @property
    def custom_id(self) -> str:
        """What the Batch API calls the line."""
        return self.keys[0]

    @property
    def line(self) -> bytes:
        """The line of the batch's file."""
        return dialects.load(self.request.dialect).batch_line(self.request, self.samples, self.custom_id)


@dataclass
class Collector:
    """Takes a Caller's place in dialogues: what it cannot answer is collected and fails as "pending"."""

    reader: journal.Reader
    samples_per_request: int
    supports_n: bool = True
    failed: dict[str, CallError] = field(default_factory=dict)
    """By journal key, the samples that were given up."""
    missing: dict[str, BatchRequest] = field(default_factory=dict)
    """By custom id, what is to be sent."""
    _claimed: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Forget what is missing: a new round finds out."""
        self.missing = {}
        self._claimed = set()

    async def samples(self, request: Request, n: int, task: str, kind: str) -> list[Sample]:
        """Return samples 0 … n-1 of `request`, as `Caller.samples` does."""
        keys = request.keys(range(n))
        samples: list[Sample] = []
        missing: list[int] = []
        for i, key in enumerate(keys):
            sample = self._settled(key)
            if sample is None:
                sample = Sample(None, CallError("pending", "in a batch"))
                if key not in self._claimed:
                    missing.append(i)
            samples.append(sample)
        size = self.samples_per_request or n
        if not self.supports_n:
            size = 1
        for start in range(0, len(missing), size):
            group = missing[start : start + size]
            group_keys = [keys[i] for i in group]
            self.missing[group_keys[0]] = BatchRequest(request, group, group_keys, task, kind)
            self._claimed.update(group_keys)
        return samples

    def fail(self, request: BatchRequest, error: CallError) -> None:
        """Give up the samples of `request`; the attempts of `error` count for the first of them."""
        error.key = request.keys[0]
        self.failed[request.keys[0]] = error
        other = CallError(error.kind, error.message)
        for key in request.keys[1:]:
            self.failed[key] = other

    def _settled(self, key: str) -> Sample | None:
        """Return the sample of `key` if it was bought or given up."""
        error = self.failed.get(key)
        if error is not None:
            return Sample(None, error)
        answer = self.reader.get(key)
        return None if answer is None else Sample(answer, None)


def split(
    requests: list[BatchRequest], max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
) -> Iterator[list[BatchRequest]]:
    """Yield parts of `requests` that each fit into one file."""
    part: list[BatchRequest] = []
    size = 0
    for request in requests:
        length = len(request.line)
        if part and (len(part) >= max_requests or size + length > max_bytes):
            yield part
            part = []
            size = 0
        part.append(request)
        size += length
    if part:
        yield part

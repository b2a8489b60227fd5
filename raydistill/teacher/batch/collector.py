"""Answer dialogues from the journal, and collect the requests that it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request
from raydistill.teacher.calls.purchase import NSupport, Purchase, groups
from raydistill.teacher.calls.stored_samples import Sample, StoredSamples

MAX_REQUESTS = 50_000  # of one file, as OpenAI takes them
MAX_BYTES = 190_000_000  # OpenAI takes 200 MB


def custom_id(purchase: Purchase) -> str:
    """Return what the Batch API calls the line of a purchase."""
    return purchase.keys[0]


def line(purchase: Purchase) -> bytes:
    """Return the line of a purchase in a batch's file."""
    request = purchase.request
    return dialects.load(request.dialect).batch_line(request, purchase.samples, custom_id(purchase))


@dataclass
class Collector:
    """Takes a Caller's place in dialogues: what it cannot answer is collected and fails as "pending"."""

    stored: StoredSamples
    n_support: NSupport
    failed: dict[str, CallError] = field(default_factory=dict)
    """By journal key, the samples that were given up."""
    missing: dict[str, Purchase] = field(default_factory=dict)
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
        for purchase in groups(request, keys, missing, self.n_support.size(len(missing)), task, kind):
            self.missing[custom_id(purchase)] = purchase
            self._claimed.update(purchase.keys)
        return samples

    def fail(self, purchase: Purchase, error: CallError) -> None:
        """Give up the samples of `purchase`; the attempts of `error` count for the first of them."""
        error.key = purchase.keys[0]
        self.failed[purchase.keys[0]] = error
        other = CallError(error.kind, error.message)
        for key in purchase.keys[1:]:
            self.failed[key] = other

    def _settled(self, key: str) -> Sample | None:
        """Return the sample of `key` if it was bought or given up."""
        error = self.failed.get(key)
        if error is not None:
            return Sample(None, error)
        return self.stored.get(key)


def split(
    purchases: list[Purchase], max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
) -> Iterator[list[Purchase]]:
    """Yield parts of `purchases` that each fit into one file."""
    part: list[Purchase] = []
    size = 0
    for purchase in purchases:
        length = len(line(purchase))
        if part and (len(part) >= max_requests or size + length > max_bytes):
            yield part
            part = []
            size = 0
        part.append(purchase)
        size += length
    if part:
        yield part

"""The key under which the journal holds a sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping


def sample_keys(request: Mapping[str, object], samples: Iterable[int]) -> list[str]:
    """Return SHA-256 (hex) of a canonical request and the sample index, for each of `samples`.

    One key per sample: a request for n samples and n single requests share their entries, and a larger degree of
    reasoning buys just the samples that are missing. What this returns must never change: answers were paid for.

    Args:
        request: `Request.canonical()`.
        samples: indices, from 0.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    start = hashlib.sha256(text.encode())
    keys = []
    for sample in samples:
        digest = start.copy()
        digest.update(b"\nsample %d" % sample)
        keys.append(digest.hexdigest())
    return keys

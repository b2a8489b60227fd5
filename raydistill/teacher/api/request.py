"""What is asked of the teacher, its key in the journal, and its JSON body on the wire."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NEWER_LIMIT = "max_completion_tokens"  # what newer chat models want `max_tokens` to be called


@dataclass(frozen=True)
class Request:
    """One prompt with its decoding, as it is sent; how many samples of it are wanted is said elsewhere.

    `Endpoint.request` makes it, without what the model refuses.

    `identity` stands for the endpoint: the base URL of a real one; simulated and local servers listen on another port
    each time and have an identity of their own.
    """

    identity: str
    endpoint: str  # completions | chat
    model: str
    prompt: str
    max_tokens: int
    temperature: float | None  # None: the model's own
    stop: tuple[str, ...] = ()
    seed: int | None = None
    limit: str = "max_tokens"  # the name under which `max_tokens` is sent

    def canonical(self) -> dict[str, Any]:
        """Everything that the answer depends on but the sample index; never the API key."""
        asked = {"prompt": self.prompt} if self.endpoint == "completions" else {"messages": self._messages()}
        return {
            "base_url": self.identity,
            "endpoint": self.endpoint,
            "model": self.model,
            **asked,
            self.limit: self.max_tokens,
            "temperature": self.temperature,
            "stop": list(self.stop),
            "seed": self.seed,
        }

    def keys(self, samples: Iterable[int]) -> list[str]:
        """SHA-256 (hex) of the canonical request and the sample index, for each of `samples`.

        One key per sample: a request for n samples and n single requests share their entries, and a larger degree of
        reasoning buys just the samples that are missing.
        """
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        start = hashlib.sha256(text.encode())
        keys = []
        for sample in samples:
            digest = start.copy()
            digest.update(b"\nsample %d" % sample)
            keys.append(digest.hexdigest())
        return keys

    def body(self, samples: list[int]) -> dict[str, Any]:
        """The JSON body that asks for `samples`. A seed is moved on by the first sample's index: else every request for
        one more sample would give the same text again.
        """
        asked = {"prompt": self.prompt} if self.endpoint == "completions" else {"messages": self._messages()}
        body: dict[str, Any] = {"model": self.model, **asked, self.limit: self.max_tokens}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if len(samples) > 1:
            body["n"] = len(samples)
        if self.stop:
            body["stop"] = list(self.stop)
        if self.seed is not None:
            body["seed"] = self.seed + samples[0]
        return body

    def sent(self, name: str) -> str:
        """Parameter `name` as `Endpoint.refuses` has it: a temperature by its value; "" where it is not sent."""
        if name not in self.body([0]):
            return ""
        return temperature_name(self.temperature or 0.0) if name == "temperature" else name

    def _messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.prompt}]


def temperature_name(temperature: float) -> str:
    """Models refuse a temperature by its value: some all but 1, some 0 alone."""
    return f"temperature={temperature:g}"

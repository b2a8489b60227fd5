"""What the simulated teacher remembers of its requests: counts, the log, and how often each prompt came."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from raydistill.simulated.prompt_cache import PromptCache
from raydistill.simulated.rate_limits import RateLimits
from raydistill.simulated.script import Script
from raydistill.simulated.server_config import ServerConfig

LOG_LENGTH = 2000


@dataclass
class Counts:
    """Counts since the start or the last reset."""

    requests: int = 0
    answered: int = 0
    choices: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    rate_limited: int = 0
    faults: int = 0
    errors: int = 0
    peak_in_flight: int = 0


@dataclass
class PromptCounts:
    """How often a prompt was requested, the choices given for it, and those of them drawn without a seed."""

    requests: int = 0
    choices: int = 0
    samples: int = 0


class State:
    """What the server knows; a reset begins a new one."""

    def __init__(self, config: ServerConfig, in_flight: int = 0) -> None:
        self.config = config
        self.in_flight = in_flight
        self.script = Script()
        self.counts = Counts()
        self.prompt_cache = PromptCache()
        self.rate_limits = RateLimits(config.settings)
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._prompts: dict[str, PromptCounts] = {}
        self._started_at = time.monotonic()
        self._started_cpu_s = time.process_time()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_at

    def request_arrives(self) -> None:
        """Count a request that is in flight from now on."""
        self.in_flight += 1
        self.counts.peak_in_flight = max(self.counts.peak_in_flight, self.in_flight)

    def prompt_counts(self, prompt: str) -> PromptCounts:
        """Return the counts of one prompt, to read or to raise."""
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        return self._prompts.setdefault(digest, PromptCounts())

    def stats(self) -> dict[str, Any]:
        """Return all counts, JSON-able; see `Teacher.stats`."""
        prompts = {digest: [counts.requests, counts.choices] for digest, counts in self._prompts.items()}
        cpu_s = time.process_time() - self._started_cpu_s
        return {**asdict(self.counts), "cpu_s": cpu_s, "seconds": self.seconds, "prompts": prompts}

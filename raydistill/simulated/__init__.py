"""The simulated teacher: an OpenAI-compatible HTTP server around a program that works symbolic tasks out.

It is a program, not a model, and says so in its model name and its Server header. It serves trials, tests, benchmarks
and dry runs: /v1/completions, /v1/chat/completions, /v1/models; n, stop, max_tokens, temperature, seed, usage with
cached prompt tokens, API keys, rate limits, latency and faults. Tests and benchmarks steer it over /admin (`Teacher`):

POST /admin/script  replaces the rules and the right answers that the teacher knows (`script.Rule` lists the fields)
POST /admin/reset   forgets rules, answers, counts, log, caches and the state of the rate limits
GET  /admin/stats   counts as the server saw them
GET  /admin/log     the latest requests

A token is four characters, in prompts and completions alike.

`python -m raydistill.simulated --port 8000` serves by hand.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raydistill.config import SimulatedSettings
from raydistill.runtime import subprocess_server
from raydistill.simulated.server_config import MODEL, ServerConfig

__all__ = ["MODEL", "Teacher", "serve"]

ADMIN_TIMEOUT_S = 60
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Teacher:
    """A running simulated teacher, as its user sees it; can be sent to other processes."""

    base_url: str
    """Ends in /v1, as OpenAI's clients want it."""
    model: str = MODEL

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start or the last reset.

        They are requests, answered, choices, prompt_tokens, cached_tokens, completion_tokens, rate_limited, faults,
        errors, peak_in_flight, cpu_s, seconds, and `prompts`: by SHA-256 of the prompt [requests, choices given].
        """
        return self._admin("stats")

    def log(self) -> list[dict[str, Any]]:
        """Return the latest 2,000 requests: path, prompt, parameters as sent, status, at (seconds since the start)."""
        return self._admin("log")["requests"]

    def script(self, rules: Sequence[Mapping[str, Any]] = (), answers: Mapping[str, str] | None = None) -> None:
        """Replace the rules (`script.Rule`) and the right answers (question text -> answer) that the teacher knows.

        Raises ValueError if a rule has an unknown field.
        """
        self._admin("script", {"rules": list(rules), "answers": dict(answers or {})})

    def reset(self) -> None:
        """Forget rules, answers, counts, log, caches and the state of the rate limits."""
        self._admin("reset", {})

    def _admin(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        url = self.base_url.removesuffix("/v1") + f"/admin/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with without_proxy.open(request, timeout=ADMIN_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None


@contextmanager
def serve(
    settings: SimulatedSettings,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    models: Sequence[str] = (MODEL,),
    api_key: str | None = None,
    context_tokens: int = 16384,
) -> Iterator[Teacher]:
    """Run the simulated teacher in a process of its own for the length of the block.

    Args:
        settings: how the teacher behaves.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        models: the model names that it answers to; requests for others get status 404.
        api_key: the key that requests must carry, or they get status 401; None if they need none.
        context_tokens: requests whose prompt and max_tokens are longer get status 400.

    Raises:
        TeacherError: the server cannot start (a port in use).
    """
    config = ServerConfig(
        settings=settings, host=host, port=port, models=list(models), api_key=api_key, context_tokens=context_tokens
    )
    hint = f"Is port {port} in use? Port 0 takes a free one." if port else "This is a defect of raydistill."
    process = subprocess_server.running(
        __name__, config.model_dump(), what="The simulated teacher", hint=hint, ready_s=START_TIMEOUT_S
    )
    with process as ready:
        yield Teacher(ready["base_url"], models[0])

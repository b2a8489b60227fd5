"""The simulated teacher: an OpenAI-compatible HTTP server around a program that works symbolic tasks out.

It is no model, and says so in its model name and its Server header. It serves trials, tests, benchmarks and dry runs:
/v1/completions, /v1/chat/completions, /v1/models; n, stop, max_tokens, temperature, seed, usage with cached prompt
tokens, API keys, rate limits, latency and faults. Tests and benchmarks steer it over /admin (`Teacher`):

POST /admin/script {"rules": [...], "answers": {question: gold}}. The first rule that fits a request applies; a rule is
    match         text that the prompt's last part (from its last "Q:") contains; without it every request fits
    call          "rationale" or "answer": only such calls
    skip, times   pass over so many fitting requests first; apply to so many, then no more
    delay_s       wait
    text          the answer, or a list of answers, one for each sample (then cut by stop and max_tokens as ever)
    gold          the right answer, which the teacher then reaches as often as its accuracy says
    finish_reason, usage, omit_usage, model     what the reply says of itself
    status, message, code, headers              an error reply, or other headers
    body          send this text instead of JSON; truncate: send only so many bytes of the reply, then cut the line
    reset, hang   cut the line at once; never answer
    refuse_n      400 for n > 1
    refuses       names of parameters: 400 where one is given
GET  /admin/stats  counts as the server saw them; GET /admin/log the latest requests; POST /admin/reset forgets both
    and the rules.
A token is four characters here, in prompts and completions alike.

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

MODEL = "simulated-teacher"


@dataclass(frozen=True)
class Teacher:
    """A running simulated teacher, as its user sees it; can be sent to other processes."""

    base_url: str
    """Ends in /v1, as OpenAI's clients want it."""
    model: str = MODEL

    def stats(self) -> dict[str, Any]:
        """Counts since the start or the last reset: requests, answered, choices, prompt_tokens, cached_tokens,
        completion_tokens, rate_limited, faults, errors, peak_in_flight, cpu_s, seconds, and `prompts`: by SHA-256 of
        the prompt [times asked, choices answered].
        """
        return self._admin("stats")

    def log(self) -> list[dict[str, Any]]:
        """The latest 2,000 requests: path, prompt, parameters as sent, status, at (seconds since the start)."""
        return self._admin("log")["requests"]

    def script(self, rules: Sequence[Mapping[str, Any]] = (), answers: Mapping[str, str] | None = None) -> None:
        """Replace the rules and the gold answers (question text -> answer) that the teacher knows."""
        self._admin("script", {"rules": [*rules], "answers": {**(answers or {})}})

    def reset(self) -> None:
        """Forget rules, answers, counts, log, caches and rate-limit state."""
        self._admin("reset", {})

    def _admin(self, path: str, body: Any = None) -> Any:
        url = self.base_url.removesuffix("/v1") + f"/admin/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
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

    `port` 0 takes a free one. With `api_key`, requests without it get 401; models not in `models` get 404; prompt and
    max_tokens beyond `context_tokens` get 400. Raises TeacherError if the server cannot start (a port in use).
    """
    config = {
        "settings": settings.model_dump(),
        "host": host,
        "port": port,
        "models": [*models],
        "api_key": api_key,
        "context_tokens": context_tokens,
    }
    hint = f"Is port {port} in use? Port 0 takes a free one." if port else "This is a defect of raydistill."
    with subprocess_server.running(__name__, config, what="The simulated teacher", hint=hint, ready_s=60) as ready:
        yield Teacher(ready["base_url"], models[0])

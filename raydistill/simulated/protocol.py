"""OpenAI's protocol as the simulated teacher speaks it: checked requests, error replies, rate limits, cuts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

TOKEN_CHARS = 4


class Bucket:
    """A rate limit of `per_minute`: a full minute's worth at once, refilled steadily."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute, self.left, self.at = per_minute, float(per_minute), time.monotonic()

    def take(self, amount: float) -> float:
        """Take it (0.0), or say how many seconds from now there is enough (inf: never)."""
        now = time.monotonic()
        self.left = min(self.per_minute, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        if amount <= self.left:
            self.left -= amount
            return 0.0
        return (amount - self.left) * 60 / self.per_minute if amount <= self.per_minute else float("inf")

    def headers(self, name: str) -> dict[str, str]:
        return {
            f"x-ratelimit-limit-{name}": str(self.per_minute),
            f"x-ratelimit-remaining-{name}": str(int(self.left)),
            f"x-ratelimit-reset-{name}": f"{(self.per_minute - self.left) * 60 / self.per_minute:.3f}s",
        }


class Refused(Exception):
    """An error reply: status, body and headers as OpenAI sends them."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        kind = {401: "invalid_request_error", 429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
        self.status, self.headers = status, headers or {}
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        super().__init__(message)

    def response(self) -> web.Response:
        return web.json_response(self.body, status=self.status, headers=self.headers)


def tokens(text: str) -> int:
    return -(-len(text) // TOKEN_CHARS)


def cut(text: str, stop: Sequence[str], max_tokens: int) -> tuple[str, str]:
    """The text up to the first stop sequence or the token limit, and the finish reason."""
    ends = [at for s in stop if s and (at := text.find(s)) >= 0]
    text = text[: min(ends)] if ends else text
    if tokens(text) > max_tokens:
        return text[: max_tokens * TOKEN_CHARS], "length"
    return text, "stop"


@dataclass(frozen=True)
class Request:
    """One request body, checked."""

    chat: bool
    model: str
    prompts: list[str]
    n: int
    stop: list[str]
    max_tokens: int
    temperature: float
    seed: int | None

    @classmethod
    def read(cls, chat: bool, body: Any, models: Sequence[str], context_tokens: int) -> Request:
        if not isinstance(body, dict):
            raise Refused(400, "We could not parse the JSON body of your request.")
        if body.get("model") not in models:
            raise Refused(404, f"The model `{body.get('model')}` does not exist.", "model_not_found")
        if body.get("stream"):
            raise Refused(400, "The simulated teacher does not stream.", "unsupported_parameter")
        prompts = [_conversation(body.get("messages"))] if chat else body.get("prompt")
        prompts = [prompts] if isinstance(prompts, str) else prompts
        if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts):
            raise Refused(400, "'prompt' must be a string or a list of strings.", "invalid_type")
        stop = body.get("stop") or []
        stop = [stop] if isinstance(stop, str) else stop
        if not isinstance(stop, list) or len(stop) > 4 or not all(isinstance(s, str) for s in stop):
            raise Refused(400, "'stop' must be a string or a list of at most 4 strings.", "invalid_type")
        limit = _number(body, "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens", 0, 0, 2**31)
        request = cls(
            chat=chat,
            model=body["model"],
            prompts=prompts,
            n=_number(body, "n", 1, 1, 128),
            stop=stop,
            max_tokens=limit or (1024 if chat else 16),
            temperature=_number(body, "temperature", 1.0, 0.0, 2.0),
            seed=None if body.get("seed") is None else _number(body, "seed", 0, -(2**63), 2**63),
        )
        longest = max(map(tokens, prompts))
        if longest + limit > context_tokens:
            message = f"This model's maximum context length is {context_tokens} tokens, however you requested "
            message += f"{longest + limit} tokens ({longest} in your prompt; {limit} for the completion)."
            raise Refused(400, message, "context_length_exceeded")
        return request


def _number(body: dict[str, Any], name: str, default: Any, low: Any, high: Any) -> Any:
    value = default if body.get(name) is None else body[name]
    whole = name != "temperature"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not low <= value <= high:
        raise Refused(400, f"'{name}' must be between {low} and {high}, not {value!r}.", "invalid_value")
    return value


def _conversation(messages: Any) -> str:
    """Chat messages as one prompt text: a user's text, the teacher's own after it, the next on a line of its own."""
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise Refused(400, "'messages' must be a list of messages.", "invalid_type")
    text = ""
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        text += content if message.get("role") == "assistant" or not text else f"\n{content}"
    return text

"""One request over HTTP: the openai client's addresses, headers and aiohttp transport, with answers parsed here.

The SDK's retries are off (`raydistill.teacher.retries` decides), and completions go straight to its transport: measured
at 256 in flight, the SDK's default way costs 3.0 ms of CPU per call, aiohttp with its `post` 0.8, this way 0.5.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx2
import openai

from raydistill.teacher.api import errors
from raydistill.teacher.api.request import Request

PATHS = {"completions": "/completions", "chat": "/chat/completions"}


class RateHeaders(NamedTuple):
    """What `x-ratelimit-*` headers said; None where they did not."""

    requests_per_minute: float | None
    tokens_per_minute: float | None
    hold_s: float  # nothing is left: seconds until one more request fits


class Reply(NamedTuple):
    texts: list[str]
    finish_reasons: list[str]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: bool  # the answer carried no usage; the counts are guesses (four characters a token)
    limits: RateHeaders | None


class Client:
    """Sends requests; make it inside the event loop that uses it."""

    def __init__(self, base_url: str, key: str, timeout_s: float, connections: int = 1000) -> None:
        self._key, self._timeout_s = key, timeout_s
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = openai.DefaultAioHttpClient(timeout=timeout_s, limits=limits)
        self.openai = openai.AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=timeout_s, http_client=self._http
        )
        said = {**self.openai.default_headers, **self.openai.auth_headers}
        self._headers = {name: value for name, value in said.items() if isinstance(value, str)}
        self._urls = {name: base_url.rstrip("/") + path for name, path in PATHS.items()}

    async def send(self, request: Request, samples: list[int]) -> Reply:
        """Ask once for `samples`; CallError (attempts 0) where no answer comes."""
        try:
            response = await asyncio.wait_for(
                self._http.post(
                    self._urls[request.endpoint], content=json.dumps(request.body(samples)), headers=self._headers
                ),
                self._timeout_s + 1,  # a body that trickles never times out by itself
            )
            if response.is_error:
                raise errors.of_response(response, len(samples))
            return parse(response.content, response.headers, request)
        except Exception as error:
            raise self._named(error, len(samples)) from None

    async def models(self) -> list[str] | None:
        """Names of the endpoint's models; None where it has no such list. CallError where it cannot be reached."""
        try:
            response = await asyncio.wait_for(self.openai.get("/models", cast_to=httpx2.Response), self._timeout_s)
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return None
            raise self._named(error) from None
        except Exception as error:
            raise self._named(error) from None
        try:
            return [str(model["id"]) for model in json.loads(response.content)["data"]]
        except (ValueError, KeyError, TypeError):
            return None

    def _named(self, error: Exception, n: int = 1) -> errors.CallError:
        found = errors.classify(error, n)
        found.message = self._redact(found.message)
        found.args = (found.message,)
        return found

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "***") if len(self._key) > 3 else text

    async def close(self) -> None:
        await self.openai.close()


def parse(content: bytes, headers: Mapping[str, str], request: Request) -> Reply:
    """Texts, finish reasons and usage of a completion body; CallError (transient) where it is not one."""
    try:
        body = json.loads(content)
        choices = sorted(body["choices"], key=lambda c: c.get("index") or 0)
        if request.endpoint == "chat":
            texts = [choice["message"].get("content") or "" for choice in choices]
        else:
            texts = [choice["text"] or "" for choice in choices]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("texts of another type")
        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # half a surrogate pair, cut by a limit
        finish = [str(choice.get("finish_reason") or "") for choice in choices]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise errors.unreadable("the answer is not a completion", content) from None
    if not texts:
        raise errors.unreadable("the answer holds no choices", content)
    usage = body.get("usage")
    counted = _usage(usage) if isinstance(usage, dict) else None
    if counted is None:
        counted = (len(request.prompt) // 4 + 1, 0, sum(len(text) // 4 + 1 for text in texts))
    return Reply(texts, finish, *counted, estimated=not isinstance(usage, dict), limits=_rate_headers(headers))


def _usage(usage: dict[str, Any]) -> tuple[int, int, int] | None:
    try:
        details = usage.get("prompt_tokens_details") or {}
        cached = int(details.get("cached_tokens") or 0) if isinstance(details, dict) else 0
        return int(usage["prompt_tokens"]), cached, int(usage.get("completion_tokens") or 0)
    except (KeyError, TypeError, ValueError):
        return None


def _rate_headers(headers: Mapping[str, str]) -> RateHeaders | None:
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return None
    hold = 0.0
    limits: list[float | None] = []
    for kind in ("requests", "tokens"):
        limit, left = _number(headers, f"limit-{kind}"), _number(headers, f"remaining-{kind}")
        limits.append(limit or None)
        reset = errors.seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
        if limit and left is not None and left <= 0 and reset:
            # `reset` is when the whole allowance is back; on a steady refill one request fits after its share of that.
            hold = max(hold, reset / limit if kind == "requests" else min(reset, 1.0))
    return RateHeaders(limits[0], limits[1], hold)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        return float(headers[f"x-ratelimit-{name}"])
    except (KeyError, ValueError):
        return None

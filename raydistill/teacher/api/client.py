"""One request over HTTP, on the openai client's aiohttp transport.

The SDK's retries are off (the caller decides), and completions go straight to its transport: measured at 256 in flight,
the SDK's default way costs 3.0 ms of CPU per call, aiohttp with its `post` 0.8, this way 0.5.
"""

from __future__ import annotations

import asyncio
import json

import httpx2
import openai

from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api import error_classification
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.api.request import Request

CONNECTIONS = 1000
GRACE_S = 1.0  # a body that trickles never times out by itself
NO_LIST = (404, 405, 501)  # statuses of a server that does not list its models
SHORTEST_SECRET = 4  # a shorter key is a placeholder and would be struck out of innocent words


class Client:
    """Sends requests in one dialect; make it inside the event loop that uses it."""

    def __init__(self, base_url: str, key: str, timeout_s: float, dialect: str) -> None:
        self.dialect = dialects.load(dialect)
        self._key = key
        self._timeout_s = timeout_s
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = openai.DefaultAioHttpClient(timeout=timeout_s, limits=limits)
        self.openai = openai.AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=timeout_s, http_client=self._http
        )
        # The SDK marks a header that it leaves out by a value that is no text.
        sdk_headers = {name: value for name, value in self.openai.default_headers.items() if isinstance(value, str)}
        self._headers = sdk_headers | self.dialect.headers(key)
        address = base_url.rstrip("/")
        self._url = address + self.dialect.path
        self._models_url = f"{address}/models"

    async def send(self, request: Request, samples: list[int]) -> Reply:
        """Request `samples` once.

        Raises:
            CallError: no answer came; it counts no attempts.
        """
        content = json.dumps(request.body(samples))
        try:
            post = self._http.post(self._url, content=content, headers=self._headers)
            response = await asyncio.wait_for(post, self._timeout_s + GRACE_S)
            self._check(response, len(samples))
            return self.dialect.read_reply(response.content, response.headers, request.prompt)
        except Exception as error:
            raise self.call_error(error, len(samples)) from None

    async def models(self) -> list[str] | None:
        """Return the names of the endpoint's models; None if it has no such list.

        Raises:
            CallError: it cannot be reached, or rejects the key.
        """
        try:
            get = self._http.get(self._models_url, headers=self._headers)
            response = await asyncio.wait_for(get, self._timeout_s)
            if response.status_code in NO_LIST:
                return None
            self._check(response)
        except Exception as error:
            raise self.call_error(error) from None
        return self.dialect.read_models(response.content)

    def call_error(self, error: Exception, n: int = 1) -> CallError:
        """Classify what a call of this client raised; the API key does not show in it."""
        call_error = error_classification.of_exception(error, self.dialect, n)
        if len(self._key) >= SHORTEST_SECRET:
            call_error.hide(self._key)
        return call_error

    def _check(self, response: httpx2.Response, n: int = 1) -> None:
        if response.is_error:
            raise error_classification.of_response(
                response.status_code, response.content, self.dialect, response.headers, n
            )

    async def close(self) -> None:
        """Close all connections."""
        await self.openai.close()

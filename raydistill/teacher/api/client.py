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
from raydistill.teacher.api.exchange import exchange
from raydistill.teacher.api.redaction import Redactor
from raydistill.teacher.api.request import Request
from raydistill.teacher.api.response import Response

CONNECTIONS = 1000
UNSENDABLE = (
    "The API key holds a line break or characters beyond ASCII, which no HTTP header can "
    "(setting teacher.api_key_env names its variable)."
)
NO_LIST = (404, 405, 501)  # statuses of a server that does not list its models


class Client:
    """Sends requests in one dialect; make it inside the event loop that uses it."""

    def __init__(self, base_url: str, key: str, timeout_s: float, dialect: str, connections: int = CONNECTIONS) -> None:
        """Prepare to connect.

        Args:
            base_url: Address of the API.
            key: API key.
            timeout_s: For one request, from when it has a connection.
            dialect: Value of the setting `teacher.dialect`.
            connections: Most requests at once; more wait for a connection.
        """
        self.dialect = dialects.load(dialect)
        self._redactor = Redactor(key)
        self._timeout_s = timeout_s
        self._connections = asyncio.Semaphore(connections)
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = openai.DefaultAioHttpClient(timeout=timeout_s, limits=limits)
        self.openai = openai.AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=timeout_s, http_client=self._http
        )
        # The SDK marks a header that it leaves out by a value that is no text.
        sdk_headers = {name: value for name, value in self.openai.default_headers.items() if isinstance(value, str)}
        self._headers = sdk_headers | self.dialect.headers(key)
        self._is_sendable = all(value.isascii() and value.isprintable() for value in self._headers.values())
        address = base_url.rstrip("/")
        self._url = address + self.dialect.path
        self._models_url = f"{address}/models"

    async def send(self, request: Request, samples: list[int]) -> Response:
        """Request `samples` once, and return the response as it came.

        Raises:
            CallError: it has no status of success, or did not come whole; it counts no attempts.
        """
        content = json.dumps(request.body(samples)).encode()
        return await self._exchange("POST", self._url, content, len(samples))

    async def models(self) -> list[str] | None:
        """Return the names of the endpoint's models; None if it has no such list.

        Raises:
            CallError: it cannot be reached, or rejects the key.
        """
        try:
            response = await self._exchange("GET", self._models_url)
        except CallError as error:
            is_redirected = error.status is not None and 300 <= error.status < 400
            if is_redirected or error.status in NO_LIST:
                return None  # whether completions are answered is another matter
            raise
        return self.dialect.read_models(response.content)

    def call_error(self, error: Exception, n: int = 1) -> CallError:
        """Classify what a call of this client raised; the API key does not show in it."""
        call_error = error_classification.of_exception(error, self.dialect, n, self._timeout_s, self._redactor.mask)
        call_error.hide(self._redactor.mask_text)
        return call_error

    def mask(self, content: bytes) -> bytes:
        """Return what the SDK brought (`openai`) without the API key."""
        return self._redactor.mask(content)

    async def close(self) -> None:
        """Close all connections."""
        await self.openai.close()

    async def _exchange(self, method: str, url: str, content: bytes | None = None, n: int = 1) -> Response:
        """Return a response of a status of success; CallError if there is none."""
        if not self._is_sendable:
            raise CallError("fatal", UNSENDABLE, fatal_for_all=True)
        try:
            async with self._connections:
                http_request = self._http.build_request(method, url, content=content, headers=self._headers)
                response = await exchange(self._http, http_request, self._timeout_s, self._redactor)
            if not 200 <= response.status < 300:
                raise error_classification.of_response(
                    response.status, response.content, self.dialect, response.headers, n
                )
        except Exception as error:
            raise self.call_error(error, n) from None
        return response

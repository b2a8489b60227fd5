"""Error replies as OpenAI sends them."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

RATE_LIMITED = 429
ERROR_TYPES = {RATE_LIMITED: "requests", 500: "server_error"}


class ErrorReply(Exception):
    """A request is answered with an error: status, code and message go into the reply."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Return the reply to send."""
        error_type = ERROR_TYPES.get(self.status, "invalid_request_error")
        error = {"message": self.message, "type": error_type, "param": None, "code": self.code}
        return web.json_response({"error": error}, status=self.status, headers=self.headers)

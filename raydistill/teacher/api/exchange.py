"""Send one HTTP request and read its response, up to a size."""

from __future__ import annotations

import asyncio

import httpx2

from raydistill.teacher.api.redaction import Redactor
from raydistill.teacher.api.response import Response

MAX_BODY_BYTES = 16 * 2**20
"""A longer body is not read to its end: 64 of them at once have to fit in memory."""
KEPT_BYTES = 64_000
"""What is kept of a longer one."""
GRACE_S = 1.0  # a body that trickles never times out by itself


async def exchange(http: httpx2.AsyncClient, request: httpx2.Request, timeout_s: float, redactor: Redactor) -> Response:
    """Send `request` and return its response, whatever its status; redirects are not followed.

    Args:
        http: Who sends it.
        request: What is sent.
        timeout_s: For all of it.
        redactor: Masks the API key in the body.

    Raises:
        Exception: of the transport, or TimeoutError: no response, or not all of a successful one. The status of an
            error is enough: as much of its body is returned as came.
    """
    arrived = _Arrived()
    try:
        async with asyncio.timeout(timeout_s + GRACE_S):
            await arrived.read(http, request)
    except Exception:
        if arrived.response is None or arrived.response.is_success:
            raise
    response = arrived.response
    assert response is not None
    mask = redactor.mask_answer if response.is_success else redactor.mask
    content = mask(b"".join(arrived.parts))
    is_cut = arrived.size > MAX_BODY_BYTES
    if is_cut:
        content = content[:KEPT_BYTES]
    return Response(response.status_code, content, response.headers, is_cut)


class _Arrived:
    """As much of a response as has arrived."""

    def __init__(self) -> None:
        self.response: httpx2.Response | None = None
        self.parts: list[bytes] = []
        self.size = 0

    async def read(self, http: httpx2.AsyncClient, request: httpx2.Request) -> None:
        """Send `request` and read the response, or as much of it as may be read."""
        self.response = await http.send(request, stream=True, follow_redirects=False)
        try:
            async for part in self.response.aiter_bytes():
                self.parts.append(part)
                self.size += len(part)
                if self.size > MAX_BODY_BYTES:
                    break
        finally:
            await self.response.aclose()

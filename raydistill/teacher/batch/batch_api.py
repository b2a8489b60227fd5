"""Calls about files and batches, on the openai client, with the retries of any call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from openai.types import Batch

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher.api import retries
from raydistill.teacher.api.client import Client

OVER = ("completed", "failed", "expired", "cancelled")  # statuses after which nothing more comes
NONCE = "raydistill"  # its name in a batch's metadata
PAGE = 100  # batches listed at once

_T = TypeVar("_T")


class BatchApi:
    """The Batch API of one endpoint. Every method raises TeacherError if the endpoint rejects a call."""

    def __init__(self, client: Client, base_url: str, settings: TeacherSettings) -> None:
        self.client = client
        self.base_url = base_url
        self.settings = settings

    async def create(self, content: bytes, nonce: str) -> str:
        """Upload the lines `content`, make a batch of them and return its id."""
        api = self.client.openai
        endpoint: Any = self.client.dialect.batch_endpoint  # the SDK types it as one of OpenAI's own
        may_exist = False

        async def upload() -> str:
            file = await api.files.create(file=("requests.jsonl", content), purpose="batch")
            return file.id

        async def create_once() -> str:
            nonlocal may_exist
            existing = await self._by_nonce(nonce) if may_exist else None  # it was made, only the answer was lost
            if existing is not None:
                return existing
            may_exist = True
            batch = await api.batches.create(
                input_file_id=file_id, endpoint=endpoint, completion_window="24h", metadata={NONCE: nonce}
            )
            return batch.id

        file_id = await self._retried(upload)
        return await self._retried(create_once)

    async def retrieve(self, batch_id: str) -> Batch:
        """Return how a batch stands."""
        return await self._retried(lambda: self.client.openai.batches.retrieve(batch_id))

    async def content(self, file_id: str) -> bytes:
        """Download a file."""
        response = await self._retried(lambda: self.client.openai.files.content(file_id))
        return response.content

    async def find(self, nonce: str) -> str | None:
        """Return the id of the batch with `nonce`; None if it was never made."""
        return await self._retried(lambda: self._by_nonce(nonce))

    async def _by_nonce(self, nonce: str) -> str | None:
        async for batch in self.client.openai.batches.list(limit=PAGE):
            if (batch.metadata or {}).get(NONCE) == nonce:
                return batch.id
        return None

    async def _retried(self, call: Callable[[], Awaitable[_T]]) -> _T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await call()
            except Exception as exception:
                error = self.client.call_error(exception)
                if not error.retryable or attempt >= self.settings.max_attempts:
                    raise TeacherError(
                        f"The Batch API of {self.base_url} rejects a call: {error.message}",
                        "Does the endpoint have one? Otherwise use --teacher.transport online.",
                    ) from None
            await asyncio.sleep(retries.backoff(attempt, self.settings.backoff_s, error))

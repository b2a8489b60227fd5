"""A response as it came: what the journal keeps before anybody reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Response(NamedTuple):
    """A response of a status of success (2xx)."""

    status: int
    content: bytes
    """The body; the API key is masked."""
    headers: Mapping[str, str]
    """Names in any case."""
    is_cut: bool = False
    """True if the body was too long (`client.MAX_BODY_BYTES`) and this is its beginning."""

"""What an endpoint's reply holds, whatever the dialect it came in."""

from __future__ import annotations

from typing import NamedTuple

from raydistill.teacher.api.usage import StatedUsage


class Reply(NamedTuple):
    """The samples of one response."""

    texts: list[str]
    finish_reasons: list[str]
    """Why each text ended, in OpenAI's words whatever the dialect: "stop" by itself, "length" by the token limit."""
    usage: StatedUsage
    id: str = ""
    """The response's, by which a bill can be reconciled."""
    model: str = ""
    """The model that answered, as the server names it: a request's may be an alias."""
    fingerprint: str = ""
    """The server's configuration (OpenAI's `system_fingerprint`)."""


def whole_characters(text: str) -> str:
    """Replace half a surrogate pair, which a token limit can leave, by a question mark: it has no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()

"""What an endpoint's reply holds, whatever the dialect it came in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from raydistill.teacher.api.errors import CallError
from raydistill.teacher.limits.messages import RateLimits
from raydistill.teacher.limits.tokens import expected_tokens


class Usage(NamedTuple):
    """Tokens of one response; cached tokens are part of the prompt tokens."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def total(self) -> int:
        """Tokens that count towards a budget."""
        return self.prompt_tokens + self.completion_tokens


class Reply(NamedTuple):
    """The samples of one response."""

    texts: list[str]
    finish_reasons: list[str]
    """Why each text ended, in OpenAI's words whatever the dialect: "stop" by itself, "length" by the token limit."""
    usage: Usage
    estimated: bool  # the reply held no usage: the counts are estimates
    limits: RateLimits | None


def estimate_usage(prompt: str, texts: Sequence[str]) -> Usage:
    """Estimate what a reply used that does not say so."""
    completion_tokens = sum(map(expected_tokens, texts))
    return Usage(expected_tokens(prompt), 0, completion_tokens)


def whole_characters(text: str) -> str:
    """Replace half a surrogate pair, which a token limit can leave, by a question mark: it has no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()


def unreadable(problem: str, content: bytes) -> CallError:
    """Make the error of a body that is no reply; another attempt may bring one."""
    start = content[:120].decode(errors="replace")
    return CallError("transient", f"{problem}: {json.dumps(start)}")

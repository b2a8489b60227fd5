"""Tokens of a response: as its server states them, and as they are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

MOST_TOKENS = 10_000_000
"""More than any model uses for a sample: a higher figure is a fault (an unsigned underflow), not a count."""

# Names of the counts: OpenAI's, those of its newer API and of Anthropic's, Google's, Amazon's.
_PROMPT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens")
_COMPLETION = ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "outputTokens")
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count", "totalTokens")
_CACHED = (
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
    "cachedContentTokenCount",
    "cached_content_token_count",
)
_BESIDE_PROMPT = ("cache_read_input_tokens", "cache_creation_input_tokens")
_DETAILS = ("prompt_tokens_details", "input_tokens_details")


class Usage(NamedTuple):
    """Tokens that a response counts for; cached tokens are part of the prompt tokens."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def total(self) -> int:
        """Tokens that count towards a budget."""
        return self.prompt_tokens + self.completion_tokens


class StatedUsage(NamedTuple):
    """Tokens of a response as its server states them; None for what it does not state, or states impossibly."""

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    total: int | None = None

    @property
    def is_complete(self) -> bool:
        """True if prompt and completions are stated."""
        return self.prompt is not None and self.completion is not None


def is_possible(usage: Usage, samples: int) -> bool:
    """Return whether a reply of so many samples may have such a usage."""
    most = MOST_TOKENS * max(1, samples)
    return all(0 <= count <= most for count in usage)


def counted(stated: StatedUsage, reserved: Usage) -> Usage:
    """Return what a response counts for; what its server does not state is never guessed too low.

    Args:
        stated: By the server.
        reserved: The most that the call could take.
    """
    prompt, completion = stated.prompt, stated.completion
    if stated.total is not None:
        prompt, completion = _split(stated.total, prompt, completion, reserved)
    if prompt is None:
        prompt = reserved.prompt_tokens
    if completion is None:
        completion = reserved.completion_tokens
    return Usage(prompt, min(stated.cached or 0, prompt), completion)


def _split(total: int, prompt: int | None, completion: int | None, reserved: Usage) -> tuple[int | None, int | None]:
    """Return the tokens of (prompt, completion) by their sum, unless it leaves none for one of them."""
    if prompt is None and completion is None:  # the dearer part is as large as it can be
        most = max(min(total, reserved.completion_tokens), total - reserved.prompt_tokens)
        return total - most, most
    if prompt is None and completion is not None and completion < total:
        prompt = total - completion
    elif prompt is not None and prompt < total:
        # Some servers leave hidden thinking out of all but the total.
        completion = max(completion or 0, total - prompt)
    return prompt, completion


def read(usage: object, texts: Sequence[str]) -> StatedUsage:
    """Read the object `usage` of a reply, under any names known.

    Servers that do not count state 0: no prompt has no tokens, nor does a text.

    Args:
        usage: Whatever the reply has in its place.
        texts: Of the reply's samples.
    """
    if not isinstance(usage, dict):
        return StatedUsage()
    most = MOST_TOKENS * len(texts)
    cached = _first(usage, _CACHED, most)
    for name in _DETAILS:
        details = usage.get(name)
        if cached is None and isinstance(details, dict):
            cached = _first(details, _CACHED, most)
    completion = _first(usage, _COMPLETION, most)
    if completion == 0 and any(texts):
        completion = None
    return StatedUsage(_prompt(usage, most) or None, cached, completion, _first(usage, _TOTAL, most) or None)


def _prompt(usage: dict[str, Any], most: int) -> int | None:
    """Return the prompt's tokens; Anthropic's `input_tokens` are those that no cache was read or written for."""
    prompt = _first(usage, _PROMPT, most)
    if prompt is None or "prompt_tokens" in usage:
        return prompt
    return prompt + sum(_first(usage, (name,), most) or 0 for name in _BESIDE_PROMPT)


def _first(fields: dict[str, Any], names: tuple[str, ...], most: int) -> int | None:
    """Return the first count under one of `names`."""
    for name in names:
        number = _number(fields.get(name))
        if number is not None and number <= most:
            return number
    return None


def _number(value: object) -> int | None:
    """Return a whole number that is not negative: of an integer, a float or a string of one; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = value if isinstance(value, int) else float(value)
        return None if number < 0 else math.ceil(number)
    except (ValueError, OverflowError):  # no number, NaN or infinite
        return None

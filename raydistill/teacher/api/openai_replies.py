"""Read what OpenAI's endpoints, and the many that resemble them, reply."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus

from raydistill.teacher.api import retries
from raydistill.teacher.api.dialect import BatchResult, ErrorReply, JsonObject
from raydistill.teacher.api.reply import Reply, Usage, estimate_usage, unreadable, whole_characters
from raydistill.teacher.limits.messages import RateLimits

ERROR_CHARACTERS = 300  # of a body that is no JSON, shown in an error


def read_reply(content: bytes, headers: Mapping[str, str], prompt: str, text_of: Callable[[JsonObject], str]) -> Reply:
    """Read a completion.

    Args:
        content: Body of the response.
        headers: Of the response.
        prompt: What was sent, to estimate its tokens by if the body does not state them.
        text_of: The text of one of the body's choices.

    Raises:
        CallError: it is no completion; another attempt may bring one.
    """
    texts: list[str] = []
    finish_reasons: list[str] = []
    try:
        body = json.loads(content)
        for choice in sorted(body["choices"], key=_index):
            texts.append(whole_characters(text_of(choice)))
            finish_reasons.append(str(choice.get("finish_reason") or ""))
        usage = _read_usage(body.get("usage"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise unreadable("the answer is not a completion", content) from None
    if not texts:
        raise unreadable("the answer holds no choices", content)
    return Reply(
        texts,
        finish_reasons,
        usage=usage or estimate_usage(prompt, texts),
        estimated=usage is None,
        limits=_read_limits(headers),
    )


def _index(choice: JsonObject) -> int:
    return choice.get("index") or 0


def _read_usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    try:
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        return Usage(int(usage["prompt_tokens"]), int(cached or 0), int(usage.get("completion_tokens") or 0))
    except (KeyError, TypeError, ValueError):
        return None


def _read_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Read `x-ratelimit-*`; None if neither limit is there."""
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return None
    requests = _header_number(headers, "limit-requests")
    tokens = _header_number(headers, "limit-tokens")
    hold_s = 0.0
    # `reset` is when the whole allowance is back; on a steady refill one request fits after its part of that.
    if requests:
        hold_s = _reset_s(headers, "requests") / requests
    if tokens:
        hold_s = max(hold_s, min(_reset_s(headers, "tokens"), 1.0))
    return RateLimits(requests or None, tokens or None, hold_s)


def _reset_s(headers: Mapping[str, str], resource: str) -> float:
    """Return the seconds until the allowance of `resource` is back; 0 if some of it is left."""
    remaining = _header_number(headers, f"remaining-{resource}")
    if remaining is None or remaining > 0:
        return 0.0
    return retries.duration(headers.get(f"x-ratelimit-reset-{resource}", "")) or 0.0


def _header_number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        return float(headers[f"x-ratelimit-{name}"])
    except (KeyError, ValueError):
        return None


def read_error(status: int, content: bytes) -> ErrorReply:
    """Read `{"error": {"message", "code", "param"}}`; servers that resemble OpenAI's leave parts of it out."""
    error = _error_object(content)
    text = content.decode(errors="replace")[:ERROR_CHARACTERS] or _phrase(status)
    return ErrorReply(
        status=status,
        code=str(error.get("code") or ""),
        param=str(error.get("param") or ""),
        message=str(error.get("message") or text),
    )


def _error_object(content: bytes) -> JsonObject:
    """Return the object that describes an error: `error`, or else the whole body; {} if there is none."""
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    error = body.get("error", body) if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def read_models(content: bytes) -> list[str] | None:
    """Read the names in a list of models; None if it is no such list."""
    try:
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def read_batch_result(line: bytes) -> BatchResult:
    """Read one line of a batch's output or error file."""
    fields = json.loads(line)
    response = fields.get("response") or {}
    error = fields.get("error") or {}
    problem = f"{error.get('code') or 'no answer'}: {error.get('message') or ''}".rstrip(": ")
    body = response.get("body")
    content = b"" if body is None else json.dumps(body).encode()
    return BatchResult(fields["custom_id"], response.get("status_code") or None, content, problem)

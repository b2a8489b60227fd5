"""What OpenAI's completions and chat completions have in common, on the wire and in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from raydistill.teacher.api import errors, retries
from raydistill.teacher.api.dialect import BatchResult, Dialect, ErrorReply
from raydistill.teacher.api.reply import RateHeaders, Reply, Usage, estimate_usage, unreadable, whole_characters
from raydistill.teacher.api.request import Request

LIMIT_NAMES = ("max_tokens", "max_completion_tokens")  # newer chat models take the second alone
PARAMETERS = {name: name for name in (*LIMIT_NAMES, "temperature", "stop", "seed")}
CODES = {
    "insufficient_quota": errors.NO_CREDIT,
    "billing_hard_limit_reached": errors.NO_CREDIT,
    "context_length_exceeded": errors.CONTEXT_LENGTH,
    "model_not_found": errors.MODEL_NOT_FOUND,
}


def dialect(
    name: str,
    path: str,
    *,
    prompt_name: str,
    prompt_value: Callable[[str], Any],
    prompt_of: Callable[[Any], str],
    text_of: Callable[[dict[str, Any]], str],
) -> Dialect:
    """Make the dialect of one of OpenAI's endpoints.

    Args:
        name: As the setting `teacher.dialect` names it.
        path: Address after the base URL.
        prompt_name: Name of the prompt in a body.
        prompt_value: The prompt as it stands in a body.
        prompt_of: The prompt from what `prompt_value` made of it.
        text_of: The text of one of a reply's choices.
    """
    batch_endpoint = f"/v1{path}"

    def body(request: Request, samples: list[int]) -> dict[str, Any]:
        fields = {"model": request.model, prompt_name: prompt_value(request.prompt)}
        return fields | _decoding(request, samples)

    def read_reply(content: bytes, headers: Mapping[str, str], prompt: str) -> Reply:
        return _read_reply(content, headers, prompt, text_of)

    def batch_line(request: Request, samples: list[int], custom_id: str) -> bytes:
        line = {"custom_id": custom_id, "method": "POST", "url": batch_endpoint, "body": body(request, samples)}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def read_batch_line(line: bytes, identity: str, samples: Mapping[str, list[int]]) -> tuple[str, Request]:
        fields = json.loads(line)
        custom_id = fields["custom_id"]
        sent = fields["body"]
        prompt = prompt_of(sent[prompt_name])
        return custom_id, _request_of(sent, name, identity, prompt, samples[custom_id][0])

    return Dialect(
        name=name,
        path=path,
        batch_endpoint=batch_endpoint,
        prompt_name=prompt_name,
        limit_names=LIMIT_NAMES,
        parameters=PARAMETERS,
        codes=CODES,
        headers=_headers,
        prompt_value=prompt_value,
        body=body,
        read_reply=read_reply,
        read_error=_read_error,
        read_models=_read_models,
        batch_line=batch_line,
        read_batch_line=read_batch_line,
        read_batch_result=_read_batch_result,
    )


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _decoding(request: Request, samples: list[int]) -> dict[str, Any]:
    """Return the fields of a body beside model and prompt.

    A seed is moved on by the first sample's index: else every request for one more sample would bring the same text.
    """
    fields: dict[str, Any] = {request.limit_name: request.max_tokens}
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if len(samples) > 1:
        fields["n"] = len(samples)
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.seed is not None:
        fields["seed"] = request.seed + samples[0]
    return fields


def _request_of(body: dict[str, Any], dialect_name: str, identity: str, prompt: str, first_sample: int) -> Request:
    """Return the request that `body` was made from."""
    limit_name = next(name for name in LIMIT_NAMES if name in body)
    seed = body.get("seed")
    return Request(
        identity,
        dialect_name,
        body["model"],
        prompt,
        body[limit_name],
        body.get("temperature"),
        tuple(body.get("stop", ())),
        None if seed is None else seed - first_sample,
        limit_name,
    )


def _read_reply(
    content: bytes, headers: Mapping[str, str], prompt: str, text_of: Callable[[dict[str, Any]], str]
) -> Reply:
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
    estimated = usage is None
    return Reply(texts, finish_reasons, usage or estimate_usage(prompt, texts), estimated, _read_limits(headers))


def _index(choice: dict[str, Any]) -> int:
    return choice.get("index") or 0


def _read_usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    try:
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        return Usage(int(usage["prompt_tokens"]), int(cached or 0), int(usage.get("completion_tokens") or 0))
    except (KeyError, TypeError, ValueError):
        return None


def _read_limits(headers: Mapping[str, str]) -> RateHeaders | None:
    """Read `x-ratelimit-*`; None if neither limit is there."""
    requests = _header_number(headers, "limit-requests")
    tokens = _header_number(headers, "limit-tokens")
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return None
    hold_s = 0.0
    # `reset` is when the whole allowance is back; on a steady refill one request fits after its part of that.
    if requests:
        hold_s = _reset_s(headers, "requests") / requests
    if tokens:
        hold_s = max(hold_s, min(_reset_s(headers, "tokens"), 1.0))
    return RateHeaders(requests or None, tokens or None, hold_s)


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


def _read_error(status: int, content: bytes) -> ErrorReply:
    """Read `{"error": {"message", "code", "param"}}`; servers that resemble OpenAI's leave parts of it out."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {}
    text = content.decode(errors="replace")[:300] or _phrase(status)
    return ErrorReply(
        status=status,
        code=str(error.get("code") or ""),
        param=str(error.get("param") or ""),
        message=str(error.get("message") or text),
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _read_models(content: bytes) -> list[str] | None:
    try:
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def _read_batch_result(line: bytes) -> BatchResult:
    fields = json.loads(line)
    response = fields.get("response") or {}
    error = fields.get("error") or {}
    problem = f"{error.get('code') or 'no answer'}: {error.get('message') or ''}".rstrip(": ")
    body = response.get("body")
    content = b"" if body is None else json.dumps(body).encode()
    return BatchResult(fields["custom_id"], response.get("status_code") or None, content, problem)

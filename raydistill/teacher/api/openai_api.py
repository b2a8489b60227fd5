"""What OpenAI's completions and chat completions have in common, on the wire and in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from raydistill.teacher.api import errors, openai_rate_limits, openai_replies
from raydistill.teacher.api.dialect import Dialect, JsonObject
from raydistill.teacher.api.reply import Reply
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
    prompt_value: Callable[[str], object],
    prompt_of: Callable[[Any], str],
    text_of: Callable[[JsonObject], str],
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

    def body(request: Request, samples: list[int]) -> JsonObject:
        fields = {"model": request.model, prompt_name: prompt_value(request.prompt)}
        return fields | _decoding(request, samples)

    def read_reply(content: bytes) -> Reply:
        return openai_replies.read_reply(content, text_of, made)

    def batch_line(request: Request, samples: list[int], custom_id: str) -> bytes:
        line = {"custom_id": custom_id, "method": "POST", "url": batch_endpoint, "body": body(request, samples)}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def read_batch_line(line: bytes, identity: str, samples: Mapping[str, list[int]]) -> tuple[str, Request]:
        fields = json.loads(line)
        custom_id = fields["custom_id"]
        sent = fields["body"]
        prompt = prompt_of(sent[prompt_name])
        return custom_id, _request_of(sent, name, identity, prompt, samples[custom_id][0])

    made = Dialect(
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
        read_rate_limits=openai_rate_limits.read,
        read_error=openai_replies.read_error,
        read_models=openai_replies.read_models,
        batch_line=batch_line,
        read_batch_line=read_batch_line,
        read_batch_result=openai_replies.read_batch_result,
    )
    return made


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _decoding(request: Request, samples: list[int]) -> JsonObject:
    """Return the fields of a body beside model and prompt.

    A seed is moved on by the first sample's index: else every request for one more sample would bring the same text.
    """
    fields: JsonObject = {request.limit_name: request.max_tokens}
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if len(samples) > 1:
        fields["n"] = len(samples)
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.seed is not None:
        fields["seed"] = request.seed + samples[0]
    return fields


def _request_of(body: JsonObject, dialect_name: str, identity: str, prompt: str, first_sample: int) -> Request:
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

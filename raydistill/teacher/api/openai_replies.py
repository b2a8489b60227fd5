"""Read what OpenAI's endpoints, and the many that resemble them, reply."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from raydistill.teacher.api import error_classification, usage
from raydistill.teacher.api.dialect import BatchResult, Dialect, ErrorReply, JsonObject
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.lenient_json import load
from raydistill.teacher.api.reply import Reply, whole_characters

SHOWN_CHARACTERS = 300  # of a body that is no JSON, in an error
SHOWN_BYTES = 120  # of a body that is no completion
_FAULTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def read_reply(content: bytes, text_of: Callable[[JsonObject], str], dialect: Dialect) -> Reply:
    """Read a completion.

    Args:
        content: Body of the response.
        text_of: The text of one of the body's choices; it may raise KeyError, TypeError, ValueError.
        dialect: Whose error objects the body may hold instead.

    Raises:
        CallError: it is no completion.
    """
    try:
        body = load(content)
    except ValueError:
        raise _unreadable("the reply is not JSON", content) from None
    texts: list[str] = []
    finish_reasons: list[str] = []
    try:
        choices = sorted(body["choices"], key=_index)
        for choice in choices:
            texts.append(whole_characters(text_of(choice)))
            finish_reasons.append(_text(choice.get("finish_reason")))
    except _FAULTS:
        texts.clear()
    if not any(texts):
        _raise_error(body, dialect)
    if not texts:
        raise _unreadable("the reply is not a completion", content)
    return Reply(
        texts,
        finish_reasons,
        usage.read(body.get("usage"), texts),
        id=_text(body.get("id")),
        model=_text(body.get("model")),
        fingerprint=_text(body.get("system_fingerprint")),
    )


def _raise_error(body: object, dialect: Dialect) -> None:
    """Raise the error that a reply without a text holds, if it holds one: its own or its first choice's."""
    if not isinstance(body, dict):
        return
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for holder in (body, first):
        if isinstance(holder, dict) and (holder.get("error") or holder.get("object") == "error"):
            error = _error_of(HTTPStatus.OK, holder, "no message")
            raise error_classification.of_reply(error, dialect)


def joined(content: object) -> str:
    """Return the text of a message's content: a string, None for none, or a list of parts.

    Raises:
        ValueError: it is something else.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError("no text")
    return "".join(_part(part) for part in content)


def _part(part: Any) -> str:
    """Return the text of a part; "" of a part of another kind (an image, thoughts)."""
    if isinstance(part, str):
        return part
    text = part.get("text")
    if isinstance(text, str):
        return text
    if part.get("type") in (None, "text", "output_text"):
        raise ValueError("a part without text")
    return ""


def _index(choice: JsonObject) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _text(value: object) -> str:
    return whole_characters(value) if isinstance(value, str) else ""


def _unreadable(problem: str, content: bytes) -> CallError:
    start = content[:SHOWN_BYTES].decode(errors="replace")
    return CallError("unreadable", f"{problem}: {json.dumps(start)}", is_unknown=True)


def read_error(status: int, content: bytes) -> ErrorReply:
    """Read `{"error": {"message", "code", "param", "type"}}`; servers that resemble OpenAI's leave parts of it out."""
    text = content.decode(errors="replace")[:SHOWN_CHARACTERS] or _phrase(status)
    try:
        body = load(content)
    except ValueError:
        body = None
    return _error_of(status, body, text)


def _error_of(status: int, body: object, text: str) -> ErrorReply:
    """Return the error that `body` holds as `error`, or else is itself, with `text` if it has no message."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {"message": error if body is not error else None}
    return ErrorReply(
        status=status,
        code=_name(error.get("code")),
        param=_named(error.get("param")),
        message=_name(error.get("message")) or text,
        type=_name(error.get("type")),
    )


def _named(value: object) -> str:
    """Return a parameter's name; some servers write "None" for none."""
    name = _name(value)
    return "" if name in ("None", "null") else name


def _name(value: object) -> str:
    """Return a text, or a number as one; "" for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return _text(value)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def read_models(content: bytes) -> list[str] | None:
    """Read the names in a list of models; None if it is no such list."""
    try:
        return [str(model["id"]) for model in load(content)["data"]]
    except _FAULTS:
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

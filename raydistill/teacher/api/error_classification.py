"""What an error is and what to do about it: the only place that reads the text of an error reply.

Statuses and codes decide if the server sends them; many that resemble OpenAI's send no code, and then the text does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import httpx2
import openai

from raydistill.teacher.api import errors
from raydistill.teacher.api.dialect import Dialect, ErrorReply
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.retries import retry_after

PASSING = (408, 409, 425)  # statuses below 500 of faults that pass
INVALID = (400, 422)
TOO_LARGE = (400, 413, 422)
FATAL_FOR_ALL = (401, 402, 403, 404)
NO_HEADERS: Mapping[str, str] = {}

_CONTEXT = re.compile(
    r"context[ _]?(length|window|size)|maximum context|too many tokens|prompt is too long"
    r"|exceeds? the (available |maximum )?context",
    re.I,
)
_MODEL = re.compile(
    r"\bmodel\b.{0,120}\b(not (found|available|exist)|does not exist|n[o']t exist|unknown|invalid|access)"
    r"|(unknown|unrecogni[sz]ed|invalid|unsupported|no such|not a valid|access to( the)?) model\b",
    re.I | re.S,
)
_CODE_BY_TEXT = (
    (_CONTEXT, errors.CONTEXT_LENGTH),
    (re.compile("output limit was reached"), errors.OUTPUT_LIMIT),
    (_MODEL, errors.MODEL_NOT_FOUND),
)
_ABOUT_N = re.compile(r"(^|[^a-z0-9])n([^a-z0-9]|$)|n_cmpl|multiple (completions|choices)|best_of")
_NOT_SUPPORTED = re.compile(
    r"unsupported|n[o']t support|not (permitted|allowed)|unrecogni[sz]ed|unknown|unexpected|strictly positive"
    r"|must be (in range|greater)",
    re.I,
)


def of_exception(error: BaseException, dialect: Dialect, n: int = 1) -> CallError:
    """Classify an exception of the openai client or its transport."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, openai.APIStatusError):
        return of_response(error.response.status_code, error.response.content, dialect, error.response.headers, n)
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException, asyncio.TimeoutError, TimeoutError)):
        return CallError("transient", "the call timed out")
    cause = error.__cause__ or error
    return CallError("transient", f"{type(cause).__name__}: {cause}".rstrip(": "))


def of_response(
    status: int, content: bytes, dialect: Dialect, headers: Mapping[str, str] = NO_HEADERS, n: int = 1
) -> CallError:
    """Classify a response with an error status.

    Args:
        status: HTTP status.
        content: Body.
        dialect: How the body is read.
        headers: Of the response; names in lower case, or a mapping that does not mind.
        n: Samples that the request was for.
    """
    reply = dialect.read_error(status, content)
    code = _code(reply, dialect)
    message = f"HTTP {status}: {reply.message}"
    if code == errors.NO_CREDIT and status < 500:  # a 429 with most servers, a 400 with some
        return CallError("fatal", message, status=status, code=code, fatal_for_all=True)
    if status == 429:
        return CallError("rate_limit", message, status=status, code=code, retry_after=retry_after(headers))
    if status in PASSING or status >= 500:
        return CallError("transient", message, status=status, code=code, retry_after=retry_after(headers))
    if status in TOO_LARGE and code == errors.CONTEXT_LENGTH:
        return CallError("context_length", message, status=status, code=code)
    if status in INVALID and n > 1 and _refuses_n(reply):
        return CallError("refused_n", message, status=status, code=code, param="n")
    param = _refused_parameter(reply, dialect)
    if status in INVALID and param:
        return CallError("refused", message, status=status, code=code, param=param)
    for_all = status in FATAL_FOR_ALL
    return CallError("fatal", message, status=status, code=code, param=reply.param, fatal_for_all=for_all)


def _code(reply: ErrorReply, dialect: Dialect) -> str:
    """Return one of the codes of `errors`, by the server's code or else its text; failing both, the server's own."""
    if reply.code in dialect.codes:
        return dialect.codes[reply.code]
    for pattern, code in _CODE_BY_TEXT:
        if pattern.search(reply.message):
            return code
    return reply.code


def _refuses_n(reply: ErrorReply) -> bool:
    return reply.param == "n" or _ABOUT_N.search(reply.message) is not None


def _refused_parameter(reply: ErrorReply, dialect: Dialect) -> str:
    """Return the parameter, by its name on the wire, that the model does not take; "" if it is about something else."""
    if not _NOT_SUPPORTED.search(reply.message):
        return ""
    names = "|".join(dialect.parameters)
    match = re.search(rf"\b({names})\b", f"{reply.param} {reply.message}")
    return match[1] if match else ""

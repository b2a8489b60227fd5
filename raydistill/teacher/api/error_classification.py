"""What an error is and what to do about it: the only place that reads the text of an error reply.

Statuses and codes decide if the server sends them; many that resemble OpenAI's send no code, and then the text does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

import aiohttp
import httpx2
import openai

from raydistill.teacher.api import errors, refusals
from raydistill.teacher.api.dialect import Dialect, ErrorReply
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.retries import retry_after

PASSING = (408, 409, 425)  # statuses below 500 of faults that pass
INVALID = (400, 422)
TOO_LARGE = (400, 413, 422)
FATAL_FOR_ALL = (401, 402, 403, 404)
UNKNOWN_OUTCOME = (502, 504, 520, 524)
"""Statuses of gateways that had no whole reply from the server behind them: it may have answered."""
SHOWN_CHARACTERS = 1000  # of an error's message
NO_HEADERS: Mapping[str, str] = {}

_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
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
# Statuses by what servers call an error that they send with a status of success.
_STATUS_BY_NAME = (
    (429, re.compile(r"rate.?limit|too.?many.?requests|resource.?exhausted|quota", re.I)),
    (401, re.compile(r"authentication|unauthenticated|unauthorized|invalid_api_key", re.I)),
    (403, re.compile(r"permission|forbidden", re.I)),
    (404, re.compile(r"not.?found", re.I)),
    (400, re.compile(r"invalid|bad.?request|context_length|unsupported|unknown_parameter", re.I)),
)


def _as_it_is(content: bytes) -> bytes:
    return content


def of_exception(
    error: Exception,
    dialect: Dialect,
    n: int = 1,
    timeout_s: float = math.inf,
    mask: Callable[[bytes], bytes] = _as_it_is,
) -> CallError:
    """Classify an exception of the openai client or its transport.

    Args:
        error: What was raised.
        dialect: How the body of an error reply is read.
        n: Samples that the request was for.
        timeout_s: What the call was given.
        mask: Masks the API key in a body.
    """
    if isinstance(error, CallError):
        return error
    if isinstance(error, openai.APIStatusError):
        response = error.response
        return of_response(response.status_code, mask(response.content), dialect, response.headers, n)
    causes = list(_causes(error))
    is_unknown = not any(isinstance(cause, _NEVER_SENT) for cause in causes)
    return CallError("transient", _problem(causes, timeout_s), is_unknown=is_unknown)


def _problem(causes: list[Exception], timeout_s: float) -> str:
    """Say what happened to a call without a reply."""
    if any(isinstance(cause, aiohttp.ConnectionTimeoutError) for cause in causes):
        return f"no connection within {timeout_s:g} s"
    root = causes[-1]
    if isinstance(root, (TimeoutError, httpx2.TimeoutException)):
        return f"no whole reply within {timeout_s:g} s (--teacher.timeout)"
    return f"{type(root).__name__}: {root}".rstrip(": ")[:SHOWN_CHARACTERS]


def _causes(error: Exception) -> Iterator[Exception]:
    """Yield `error`, what it was raised from, and so on."""
    cause: BaseException | None = error
    while isinstance(cause, Exception):  # a time-out ends in a cancellation, which is none
        yield cause
        cause = cause.__cause__


def of_response(
    status: int, content: bytes, dialect: Dialect, headers: Mapping[str, str] = NO_HEADERS, n: int = 1
) -> CallError:
    """Classify a response without a status of success.

    Args:
        status: HTTP status.
        content: Body.
        dialect: How the body is read.
        headers: Of the response; names in lower case, or a mapping that does not mind.
        n: Samples that the request was for.
    """
    location = headers.get("location")
    if 300 <= status < 400 and location:
        message = f"HTTP {status}: redirected to {location}. Give the address that answers itself (--teacher.base_url)."
        return CallError("fatal", message[:SHOWN_CHARACTERS], status=status, fatal_for_all=True)
    reply = dialect.read_error(status, content)
    error = _classify(reply, f"HTTP {status}: {reply.message}", dialect, retry_after(headers), n)
    has_thought = error.code == errors.OUTPUT_LIMIT  # an error that says itself that tokens were generated
    error.is_unknown = status in UNKNOWN_OUTCOME or has_thought
    return error


def of_reply(reply: ErrorReply, dialect: Dialect) -> CallError:
    """Classify an error that came with a status of success; what the call took nobody knows."""
    status = _stated_status(reply)
    error = _classify(reply._replace(status=status), f"HTTP {reply.status} with an error: {reply.message}", dialect)
    error.is_unknown = True
    return error


def _stated_status(reply: ErrorReply) -> int:
    """Return the HTTP status that an error's code or type stands for; 500 if it does not say."""
    if reply.code.isascii() and reply.code.isdigit() and 400 <= int(reply.code[:4]) < 600:
        return int(reply.code)
    for name in (reply.code, reply.type):
        for status, pattern in _STATUS_BY_NAME:
            if pattern.search(name):
                return status
    return 500


def _classify(reply: ErrorReply, message: str, dialect: Dialect, wait_s: float | None = None, n: int = 1) -> CallError:
    status = reply.status
    code = _code(reply, dialect)
    message = message[:SHOWN_CHARACTERS]
    if code == errors.NO_CREDIT and status < 500:  # a 429 with most servers, a 400 with some
        return CallError("fatal", message, status=status, code=code, fatal_for_all=True)
    if status == 429:
        return CallError("rate_limit", message, status=status, code=code, retry_after=wait_s)
    if status in PASSING or status >= 500:
        return CallError("transient", message, status=status, code=code, retry_after=wait_s)
    if status in TOO_LARGE and code == errors.CONTEXT_LENGTH:
        return CallError("context_length", message, status=status, code=code)
    refusal = refusals.find(reply, dialect, n) if status in INVALID else None
    if refusal is not None:
        kind: errors.Kind = "refused_n" if refusal.param == refusals.N else "refused"
        return CallError(kind, message, status=status, code=code, param=refusal.param, is_guess=refusal.is_guess)
    for_all = status in FATAL_FOR_ALL
    return CallError("fatal", message, status=status, code=code, param=reply.param, fatal_for_all=for_all)


def _code(reply: ErrorReply, dialect: Dialect) -> str:
    """Return one of the codes of `errors`, by the server's code or type or else its text; failing all, its own."""
    for name in (reply.code, reply.type):
        if name in dialect.codes:
            return dialect.codes[name]
    for pattern, code in _CODE_BY_TEXT:
        if pattern.search(reply.message):
            return code
    return reply.code

"""What went wrong with a call, whether to try again, and after how long. The only place that decides it."""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import re
import time
from collections.abc import Mapping

import httpx2
import openai

LONGEST_WAIT_S = 60.0

_CONTEXT = re.compile(
    r"context[ _]?(length|window|size)|maximum context|too many tokens|prompt is too long"
    r"|exceeds? the (available |maximum )?context",
    re.I,
)
_ABOUT_N = re.compile(r"(^|[^a-z0-9])n([^a-z0-9]|$)|n_cmpl|multiple (completions|choices)|best_of")
_PARAMETER = re.compile(r"\b(max_completion_tokens|max_tokens|temperature|stop|seed)\b")
_NOT_TAKEN = re.compile(
    r"unsupported|n[o']t support|not (permitted|allowed)|unrecogni[sz]ed|unknown|unexpected|strictly positive"
    r"|must be (in range|greater)",
    re.I,
)
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class CallError(Exception):
    """A call without an answer.

    `kind` is rate_limit and transient (worth another attempt), context_length, fatal, refused_n (the endpoint does not
    take `n`), refused (nor another `parameter`), budget and stopped (never sent). `hopeless` errors (wrong key, unknown
    model, empty account) will meet every other call as well.
    """

    def __init__(
        self, kind: str, message: str, *, retry_after: float | None = None, hopeless: bool = False, attempts: int = 0
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.retry_after = kind, message, retry_after
        self.hopeless, self.attempts = hopeless, attempts
        self.key = ""  # journal key that would have been the answer's
        self.parameter = ""  # of a refused request

    @property
    def worth_another(self) -> bool:
        return self.kind in ("rate_limit", "transient")


def classify(error: BaseException, n: int = 1) -> CallError:
    """The kind of an exception that the openai client, its transport or the reading of its answer raised."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, openai.APIStatusError):
        return of_response(error.response, n)
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException, asyncio.TimeoutError, TimeoutError)):
        return CallError("transient", "the call timed out")
    cause = error.__cause__ or error
    return CallError("transient", f"{type(cause).__name__}: {cause}".rstrip(": "))


def of_response(response: httpx2.Response, n: int = 1) -> CallError:
    """The kind of an HTTP answer with an error status; `n` is how many samples were asked for."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    said = body.get("error", body) if isinstance(body, dict) else None
    text = response.text[:300] or response.reason_phrase
    return of_answer(response.status_code, said, text, response.headers, n)


def of_answer(
    status: int, body: object, text: str = "", headers: Mapping[str, str] | None = None, n: int = 1
) -> CallError:
    """The kind of an error answer; `body` is its `error` object where it has one, else `text` is what it says."""
    said = body if isinstance(body, dict) else {}
    text = str(said.get("message") or text)
    code, param = str(said.get("code") or ""), str(said.get("param") or "")
    message = f"HTTP {status}: {text}"
    if status == 429:
        if code in _SPENT:
            return CallError("fatal", message, hopeless=True)
        return CallError("rate_limit", message, retry_after=retry_after(headers or {}))
    if status in (408, 409, 425) or status >= 500:
        return CallError("transient", message, retry_after=retry_after(headers or {}))
    if status in (400, 413, 422) and (code == "context_length_exceeded" or _CONTEXT.search(text)):
        return CallError("context_length", message)
    if status in (400, 422) and n > 1 and (param == "n" or _ABOUT_N.search(text)):
        return CallError("refused_n", message)
    if status in (400, 422) and _NOT_TAKEN.search(text) and (found := _PARAMETER.search(f"{param} {text}")):
        error = CallError("refused", message)
        error.parameter = found[1]
        return error
    return CallError("fatal", message, hopeless=status in (401, 402, 403, 404))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, `Retry-After` (seconds or a date); None without one."""
    try:
        if value := headers.get("retry-after-ms"):
            return max(0.0, float(value) / 1000)
        if not (value := headers.get("retry-after")):
            return None
        if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def seconds(text: str) -> float | None:
    """An `x-ratelimit-reset-*` duration ("6m0s", "12ms", "1.5") in seconds; None where it is none."""
    parts = _DURATION.findall(text)
    if parts:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        return None


def wait(attempt: int, first_s: float, error: CallError) -> float:
    """Seconds before attempt number `attempt` + 1: exponential with jitter, never less than asked."""
    backoff = random.uniform(0.5, 1.0) * min(LONGEST_WAIT_S, first_s * 2 ** (attempt - 1))
    return max(backoff, error.retry_after or 0.0)


def unreadable(what: str, content: bytes) -> CallError:
    """A body that is no answer: worth another attempt."""
    return CallError("transient", f"{what}: {json.dumps(content[:120].decode(errors='replace'))}")

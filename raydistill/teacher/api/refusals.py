"""Which parameter an error reply refuses, and whether the server says so or its text only sounds like it."""

from __future__ import annotations

import re
from typing import NamedTuple

from raydistill.teacher.api.dialect import Dialect, ErrorReply

N = "n"
"""The parameter that asks for several samples."""
CODES = (
    "unsupported_parameter",
    "unsupported_value",
    "unsupported_param",
    "unknown_parameter",
    "unrecognized_parameter",
    "parameter_not_supported",
    "extra_forbidden",
    "UnsupportedParamsError",
)
"""Codes, or types, of errors about a parameter that a model does not take, or not this value of it."""

_ABOUT_N = re.compile(r"(^|[^a-z0-9])n([^a-z0-9]|$)|n_cmpl|multiple (completions|choices)|best_of")
_NOT_SUPPORTED = re.compile(
    r"unsupported|n[o']t support|not (permitted|allowed)|unrecogni[sz]ed|unknown|unexpected|strictly positive"
    r"|must be (in range|greater)",
    re.I,
)


class Refusal(NamedTuple):
    """A parameter that the model does not take."""

    param: str
    """Its name on the wire."""
    is_guess: bool
    """By free text alone, which may repeat the prompt."""


def find(reply: ErrorReply, dialect: Dialect, n: int) -> Refusal | None:
    """Return what an error of an invalid request refuses; None if it is about something else.

    Args:
        reply: The error.
        dialect: What the parameters are called.
        n: Samples that the request was for.
    """
    has_code = reply.code in CODES or reply.type in CODES
    if reply.param:
        return _by_param(reply, dialect, n, has_code)
    if n > 1 and _ABOUT_N.search(reply.message):
        return Refusal(N, is_guess=not has_code)
    name = _named(reply.message, dialect)
    if name and (has_code or _NOT_SUPPORTED.search(reply.message)):
        return Refusal(name, is_guess=not has_code)
    return None


def _by_param(reply: ErrorReply, dialect: Dialect, n: int, has_code: bool) -> Refusal | None:
    if reply.param == N:
        return Refusal(N, is_guess=False) if n > 1 else None
    name = _named(reply.param, dialect)
    if name and (has_code or _NOT_SUPPORTED.search(reply.message)):
        return Refusal(name, is_guess=False)
    return None


def _named(text: str, dialect: Dialect) -> str:
    """Return the first parameter that `text` names; "" if it names none."""
    names = "|".join(map(re.escape, dialect.parameters))
    match = re.search(rf"\b({names})\b", text)
    return match[1] if match else ""

"""What a dialect is: everything in which one HTTP API of language models differs from another.

A dialect is one file of this package, named as the setting `teacher.dialect` names it, with a constant `DIALECT`. A new
one is that file and its name in `raydistill.config.teacher`. APIs that resemble OpenAI's share `openai_api`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from raydistill.teacher.api.reply import Reply
    from raydistill.teacher.api.request import Request
    from raydistill.teacher.limits.messages import RateLimits


JsonObject: TypeAlias = dict[str, Any]
"""An object of a request or reply: what is in it, the server decides."""


class ErrorReply(NamedTuple):
    """An error reply as its server words it."""

    status: int
    code: str
    param: str
    message: str
    type: str = ""
    """A name of its class ("invalid_request_error"), which some servers send in place of a code."""


class BatchResult(NamedTuple):
    """One line of a batch's results."""

    custom_id: str
    status: int | None  # HTTP status; None if the batch did not get to the request
    content: bytes  # body of the response; b"" if there is none
    problem: str  # why there is none


@dataclass(frozen=True)
class Dialect:
    """One API: its addresses, and functions between our requests and replies and the bytes on the wire."""

    name: str
    path: str
    """Where requests go, after the base URL."""
    batch_endpoint: str
    """What batches and their lines call that address."""
    prompt_name: str
    """The name of the prompt in a body, and so in the journal's keys."""
    limit_names: tuple[str, ...]
    """Names of the completion limit, in the order in which to try them: a model may refuse one and take the next."""
    parameters: Mapping[str, str]
    """Parameters that a model may refuse, by their name on the wire: temperature, stop, seed or a limit's own name."""
    codes: Mapping[str, str]
    """The API's error codes to those of `errors`."""

    headers: Callable[[str], dict[str, str]]
    """Headers that carry the API key."""
    prompt_value: Callable[[str], object]
    """The prompt as it stands in a body."""
    body: Callable[[Request, list[int]], JsonObject]
    """The JSON body that requests samples of these indices."""
    read_reply: Callable[[bytes], Reply]
    """The reply in the body of a response. Raises CallError and nothing else: "unreadable" if the body is no
    completion, the error's own if it is an error object in spite of its status of success."""
    read_rate_limits: Callable[[Mapping[str, str]], RateLimits | None]
    """The limits that a response's headers state; None if they state none."""
    read_error: Callable[[int, bytes], ErrorReply]
    """The error of (HTTP status, body)."""
    read_models: Callable[[bytes], list[str] | None]
    """Names in the body of /models; None if it is no such list."""
    batch_line: Callable[[Request, list[int], str], bytes]
    """The line of a batch file for a request, its sample indices and the line's id."""
    read_batch_line: Callable[[bytes, str, Mapping[str, list[int]]], tuple[str, Request]]
    """(id, request) of (a line, the endpoint's identity, the sample indices by id): what `batch_line` wrote."""
    read_batch_result: Callable[[bytes], BatchResult]
    """One line of a batch's output or error file."""


@cache
def load(name: str) -> Dialect:
    """Import the dialect `name`, a value of the setting `teacher.dialect`."""
    module = importlib.import_module(f"raydistill.teacher.api.{name}")
    dialect: Dialect = module.DIALECT
    return dialect

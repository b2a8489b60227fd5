"""A call without an answer, as fields: no control flow reads an error's text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Kind = Literal[
    "rate_limit",  # refused for its rate: worth another attempt
    "transient",  # a fault that passes: worth another attempt
    "unreadable",  # a reply came whole that is no completion: it may have been paid for, and is kept as it came
    "context_length",  # this prompt is too long
    "refused_n",  # the endpoint does not take `n`
    "refused",  # the model does not take the parameter `param`
    "fatal",  # nothing helps
    "budget",  # never sent: the budget does not cover it
    "stopped",  # never sent: the stage has stopped
    "pending",  # in a batch that is not over
]

# The codes that code asks for, whatever a dialect calls them; any other code is the server's own.
NO_CREDIT = "insufficient_quota"
CONTEXT_LENGTH = "context_length_exceeded"
MODEL_NOT_FOUND = "model_not_found"
OUTPUT_LIMIT = "output_limit_reached"  # all tokens went into thinking


class CallError(Exception):
    """A call without an answer: why, and what it says about other calls.

    Attributes:
        kind: What to do about it.
        message: What a person reads.
        status: HTTP status, or that which an error in a reply of status 200 stands for; None if no reply came.
        code: The server's error code, or one of the constants above; "" if there is none.
        param: The parameter that the server names, as it is called on the wire; "" if it names none.
        is_guess: The kind is "refused" or "refused_n" by the error's free text alone, which may be about the prompt.
        is_unknown: It was sent and may have been answered and paid for: it counts at its reservation. False if
            nothing was generated: never sent, or an error status that is the model's server's own.
        retry_after: Seconds that the server asks to wait, always finite; None if it does not.
        fatal_for_all: Every other call will meet it as well: wrong key, unknown model, empty account, wrong address.
        attempts: Requests that were sent for it.
        key: Journal key that the answer would have had.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        param: str = "",
        is_guess: bool = False,
        is_unknown: bool = False,
        retry_after: float | None = None,
        fatal_for_all: bool = False,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.is_guess = is_guess
        self.is_unknown = is_unknown
        self.retry_after = retry_after
        self.fatal_for_all = fatal_for_all
        self.attempts = attempts
        self.key = ""

    @property
    def retryable(self) -> bool:
        """True if another attempt at the same request may succeed."""
        return self.kind in ("rate_limit", "transient")

    def hide(self, mask: Callable[[str], str]) -> None:
        """Mask the API key, which some servers repeat, in all that the server wrote."""
        self.message = mask(self.message)
        self.code = mask(self.code)
        self.param = mask(self.param)
        self.args = (self.message,)

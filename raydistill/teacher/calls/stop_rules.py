"""What the error of one call, or a reply that cannot be read, means for that call and for all others."""

from __future__ import annotations

import time
from collections.abc import Collection

from raydistill.runtime.formatting import duration
from raydistill.teacher.api import errors
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request
from raydistill.teacher.limits.breaker import LONGEST_PAUSE_S
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.limits.permits import Permit, Permits

FATAL_IN_A_ROW = 10  # 403 and 404 may be about one prompt; so many without one success are about all
UNREADABLE_IN_A_ROW = 10  # replies that are paid for


class StopRules:
    """Decides whether to send a request again, and stops everybody where every call would meet the same."""

    def __init__(self, permits: Permits, max_attempts: int, takes: Collection[str]) -> None:
        """Make the rules of one actor.

        Args:
            permits: the actor's.
            max_attempts: of one request.
            takes: parameters that the model is known to take.
        """
        self.permits = permits
        self.max_attempts = max_attempts
        self._taken = set(takes)
        self._fatal_in_a_row = 0
        self._unreadable_in_a_row = 0
        self._rejected_at: float | None = None  # time.monotonic of the first rejected key since the last answer

    def answered(self, request: Request) -> None:
        """Take in that a request was answered."""
        self._fatal_in_a_row = 0
        self._unreadable_in_a_row = 0
        self._rejected_at = None
        self._taken |= request.parameters

    def unreadable(self, problem: str) -> None:
        """Take in a reply that cannot be read."""
        self._unreadable_in_a_row += 1
        if self._unreadable_in_a_row >= UNREADABLE_IN_A_ROW:
            message = f"{self._unreadable_in_a_row} replies in a row cannot be read: {problem}"
            self.permits.abort(StopReason("fatal", message))

    def is_worth_another(self, request: Request, error: CallError, permit: Permit) -> bool:
        """Return whether to send `request` again after `error`; stop everybody if every call will meet it."""
        if error.kind == "rate_limit":
            self.permits.throttled(error.retry_after)
            self.permits.count(refused=1)
        if error.retryable:
            return error.attempts < self.max_attempts
        parameter = request.refused_parameter(error)
        if parameter and not (error.is_guess and parameter in self._taken):
            self.permits.abort(StopReason("parameter", parameter=parameter, is_guess=error.is_guess))
        if not error.fatal_for_all:
            return False
        if error.status == 401 and not self._is_confirmed(permit):
            self.permits.throttled(None)  # a token that is being renewed: one more call shows it
            return True
        self._fatal_in_a_row += 1
        is_certain = error.status == 401 or error.code == errors.NO_CREDIT  # a wrong key, an empty account
        if is_certain or self._fatal_in_a_row >= FATAL_IN_A_ROW:
            self.permits.abort(StopReason("fatal", error.message))
        return False

    def _is_confirmed(self, permit: Permit) -> bool:
        """Return whether the key was rejected before this call was sent, which was rejected as well."""
        if self._rejected_at is None:
            self._rejected_at = time.monotonic()
        return permit.sent > self._rejected_at


def shown(error: CallError) -> str:
    """Return an error's message with what the endpoint asks for, if that is longer than anybody waits."""
    if error.retry_after is None or error.retry_after <= LONGEST_PAUSE_S:
        return error.message
    return f"{error.message} (the endpoint asks to come back in {duration(error.retry_after)})"

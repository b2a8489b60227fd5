"""Errors that a user can cause and can fix."""

from __future__ import annotations

import errno
import os
from typing import Literal


class UserError(Exception):
    """Something in the input, the settings or the environment is wrong, and the user can fix it.

    `message` says what was wrong and where (file, line, row, setting), `hint` what to do. Commands print both without a
    stack trace and exit with `exit_code`.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)  # both, so that the exception survives pickling through Ray
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        return f"{self.message}\n  {self.hint}"


class SettingsError(UserError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class QuestionsError(UserError):
    """A question file is missing, empty or malformed; the text names file and line (or row)."""


class TeacherError(UserError):
    """The teacher cannot be reached, or rejects every request (wrong key, unknown model)."""


class BudgetReached(UserError):
    """A money or token budget is used up: everything paid for is kept, and the run can go on with a larger one."""

    exit_code = 3


class TooManyFailures(UserError):
    """More of a stage's questions failed than `teacher.max_failure_rate` allows; running again retries only those."""

    exit_code = 4


LimitKind = Literal["usd", "tokens"]
"""What a budget limits."""


def budget_reached(limit: LimitKind, message: str, kept: str) -> BudgetReached:
    """Return the error of a run whose teacher's budget allows no further call.

    Args:
        limit: which budget it is.
        message: what the next call would take, and what is left.
        kept: what is bought, as a clause ("120 answers are kept").
    """
    return BudgetReached(
        f"The budget of this run is used up: {message}; {kept}.",
        f"Run the same command again with a larger --teacher.budget_{limit}: it goes on where it stopped.",
    )


def storage_error(place: str, error: OSError) -> tuple[str, str]:
    """Return message and hint for a write to `place` ("the journal runs/x/journal") that failed with `error`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"No space left on device for {place}: {os.strerror(error.errno)}.",
            "Free space on that disk and run the same command again: what is finished and paid for is kept.",
        )
    return f"Writing {place} failed: {error}.", "Check the storage and run the same command again: it continues."

"""Who holds a run directory, as its lock says, and what somebody who wants it too is told."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from raydistill.runtime.errors import UserError
from raydistill.runtime.formatting import duration


class Owner(NamedTuple):
    """A process that holds a lock."""

    id: str
    host: str
    machine: str
    """What tells apart two hosts, or two containers, of the same name: process numbers count within it."""
    pid: int
    command: str
    started: float

    @classmethod
    def this_process(cls, command: str) -> Owner:
        """Return this process as an owner."""
        return cls(uuid.uuid4().hex, platform.node(), _machine(), os.getpid(), command, time.time())

    def to_json(self) -> bytes:
        """Return the content of its lock file."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Owner | None:
        """Return the owner that a lock file names; None if it names none."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    @property
    def has_ended(self) -> bool:
        """True if it was a process of this machine, and there is no such process any more."""
        if sys.platform == "win32" or self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # somebody else's
        return False


def in_use(place: str, owner: Owner | None, silent_s: float | None = None, stale_s: float = 0.0) -> UserError:
    """Return the error for a second command on a run directory.

    Args:
        place: the run directory.
        owner: who holds it; None if the lock does not say.
        silent_s: seconds since its last sign of life; None if the kernel says that it lives.
        stale_s: seconds without a sign of life after which it counts as dead.
    """
    if owner is None:
        return UserError(f"The run directory {place} is in use by another command.", "Try again in a moment.")
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(owner.started))
    sign = "" if silent_s is None else f", last sign of life {duration(silent_s)} ago"
    dead = f" If it is dead, its lock ends {duration(stale_s)} after its last sign of life." if stale_s else ""
    return UserError(
        f"The run directory {place} is in use by another command: {owner.command} on {owner.host}, "
        f"process {owner.pid}, since {since}{sign}.",
        f"Wait until it has finished, or stop it (Ctrl-C, or kill {owner.pid} on {owner.host}) and run this command "
        f"again; or give another --run_dir.{dead}",
    )


def taken_over(place: str, owner: Owner, stale_s: float) -> UserError:
    """Return the error for a command whose run directory `owner` has taken over."""
    return UserError(
        f"Another command has taken over the run directory {place}: {owner.command} on {owner.host}, process "
        f"{owner.pid}. This one had given no sign of life for {duration(stale_s)}: its machine was suspended, or the "
        "storage did not answer.",
        "What was bought is kept. When the other command has finished, run this one again.",
    )


def _machine() -> str:
    """Return what identifies this boot of this machine, and the namespace in which its process numbers count."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)

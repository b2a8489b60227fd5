"""Room on a local disk that a writer reserves ahead: a file of zeros, deleted when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os

ENDING = ".room"
_BLOCK_BYTES = 1 << 20
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def is_room(name: str) -> bool:
    """Return True if `name` is that of a writer's room."""
    return name.startswith("segment-") and name.endswith(ENDING)


def is_left(path: str) -> bool:
    """Return whether the room at `path` is a dead writer's: a writer's segment is there as long as it lives."""
    return not os.path.exists(path.removesuffix(ENDING) + ".jsonl")


def reserve(path: str, size: int) -> None:
    """Make a file of `size` bytes that have their place on the disk, or make one larger.

    Raises:
        OSError: the disk has no room for it; no file is left.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        _fill(descriptor, size)
    except OSError:
        release(path)
        raise
    finally:
        os.close(descriptor)


def release(path: str) -> bool:
    """Give the room at `path` back; return False if there was none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _fill(descriptor: int, size: int) -> None:
    with contextlib.suppress(AttributeError):  # macOS and Windows have no posix_fallocate
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    left = size
    while left > 0:
        left -= os.write(descriptor, bytes(min(left, _BLOCK_BYTES)))
    os.fsync(descriptor)

"""One run directory, one command: two that write the same one would buy everything twice and mix their tables.

The lock is the file `run.lock` of the run directory; it says who holds it. On a local file system the kernel keeps it
(flock) and frees it when the process ends, however it ends. Elsewhere the holder shows that it lives (`heartbeat`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from raydistill.runtime import heartbeat
from raydistill.runtime.errors import UserError, storage_error
from raydistill.runtime.lock_owner import Owner, in_use
from raydistill.runtime.store import Store

LOCK_FILE = "run.lock"

_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


@contextmanager
def hold(store: Store, command: str) -> Iterator[None]:
    """Hold the run directory's lock for the length of the block.

    Args:
        store: of the run directory.
        command: what holds it, for people ("raydistill run"); never its arguments, which may be private.

    Raises:
        UserError: another command holds it, or the lock cannot be written.
    """
    try:
        lock = _take(store, Owner.this_process(command))
    except OSError as error:
        raise UserError(*storage_error(f"{LOCK_FILE} in the run directory {store.path}", error)) from None
    with lock:
        yield


def _take(store: Store, owner: Owner) -> AbstractContextManager[None]:
    """Take the lock; return the block that frees it."""
    path = f"{store.root}/{LOCK_FILE}"
    descriptor = _flock(path, store.path, owner) if store.is_local else None
    if descriptor is not None:
        return _flocked(descriptor, owner)
    beats = heartbeat.Beats(store.fs, path, store.path, owner)
    beats.start()
    return beats.until_lost()


@contextmanager
def _flocked(descriptor: int, owner: Owner) -> Iterator[None]:
    try:
        yield
    finally:
        _release(descriptor, owner)


def _flock(path: str, place: str, owner: Owner) -> int | None:
    """Lock the local file at `path` and write the owner into it.

    Returns:
        its descriptor; None if this file system or platform has no locks.

    Raises:
        UserError: it is locked.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = Owner.from_json(os.pread(descriptor, 1 << 16, 0))
        os.close(descriptor)
        raise in_use(place, holder) from None
    except OSError:
        os.close(descriptor)
        return None
    _held.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.to_json(), 0)
    except BaseException:
        _release(descriptor, owner)
        raise
    return descriptor


def _release(descriptor: int, owner: Owner) -> None:
    """Free the lock; the file stays, empty: a new one in its place could be locked by two."""
    if owner.pid != os.getpid():
        return  # a forked child, whose copy is closed already
    _held.discard(descriptor)
    try:
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _close_in_child() -> None:
    """Close a forked child's copies of the descriptors: they would hold the locks after the command has died."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)

"""A lock on storage that has none: an object that its holder rewrites every few seconds, to show that it lives.

Ages are taken from the storage's own clock, so clocks of two machines that differ steal no lock.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow.fs as pafs

from raydistill.runtime import files
from raydistill.runtime.lock_owner import Owner, in_use, taken_over

BEAT_S = 10.0
STALE_S = 60.0  # a holder that was silent for so long is dead
SETTLE_S = 2.0  # of two that write at the same moment, the later one has written by then


class Beats:
    """The lock of one process."""

    def __init__(
        self,
        fs: pafs.FileSystem,
        path: str,
        place: str,
        owner: Owner,
        *,
        beat_s: float = BEAT_S,
        stale_s: float = STALE_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        """Do nothing yet.

        Args:
            fs: file system of the lock.
            path: of the lock.
            place: what it locks, as the user named it.
            owner: this process.
            beat_s: seconds between two signs of life.
            stale_s: seconds of silence after which a holder counts as dead.
            settle_s: seconds until a write of another process at the same moment is seen.
        """
        self.fs = fs
        self.path = path
        self.place = place
        self.owner = owner
        self.beat_s = beat_s
        self.stale_s = stale_s
        self.settle_s = settle_s
        self._thief: Owner | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)
        self._is_main = threading.current_thread() is threading.main_thread()

    def start(self) -> None:
        """Take the lock, and keep it from now on.

        Raises:
            UserError: somebody else holds it.
            OSError: the storage fails.
        """
        self._refuse_if_held()
        if self._is_main and hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # Ray blocks it in its jobs
        try:
            self._write()
            time.sleep(self.settle_s)
            holder = self._read()
            if holder is not None and holder.id != self.owner.id:
                raise in_use(self.place, holder, 0.0, self.stale_s)
        except BaseException:
            self._delete()
            raise
        self._thread.start()

    @contextmanager
    def until_lost(self) -> Iterator[None]:
        """Free the lock when the block ends; end the block as by Ctrl-C if another process takes the lock.

        Raises:
            UserError: another process has taken it.
        """
        try:
            yield
        except KeyboardInterrupt:
            if self._thief is None:
                raise
        finally:
            self._ended.set()
            self._thread.join()
            self._delete()
        if self._thief is not None:
            raise taken_over(self.place, self._thief, self.stale_s)

    def _refuse_if_held(self) -> None:
        """Raise UserError if another process holds the lock and lives."""
        holder = self._read()
        if holder is None or holder.has_ended:
            return
        silent_s = self._silent_s()
        if silent_s < self.stale_s:
            raise in_use(self.place, holder, silent_s, self.stale_s)

    def _silent_s(self) -> float:
        """Return the seconds since the lock was written, by the storage's clock: the time of an object made now."""
        probe = f"{self.path}.{self.owner.id}.now"
        with self.fs.open_output_stream(probe) as stream:
            stream.write(b"now")
        try:
            lock, now = self.fs.get_file_info([self.path, probe])
        finally:
            self.fs.delete_file(probe)
        if lock.mtime_ns is None or now.mtime_ns is None:
            return 0.0
        return max(0.0, (now.mtime_ns - lock.mtime_ns) / 1e9)

    def _beat(self) -> None:
        while not self._ended.wait(self.beat_s):
            with suppress(OSError):  # the next one may come through
                holder = self._read()
                if holder is not None and holder.id != self.owner.id:
                    self._thief = holder
                    if self._is_main:
                        _interrupt_main()
                    return
                self._write()

    def _read(self) -> Owner | None:
        """Return who the lock names; None if there is no lock."""
        if not files.exists(self.fs, self.path):
            return None
        try:
            with self.fs.open_input_stream(self.path) as stream:
                return Owner.from_json(stream.readall())
        except FileNotFoundError:
            return None

    def _write(self) -> None:
        """Write the lock, whole: a local file aside, under a name that no other process uses."""
        target = f"{self.path}.{self.owner.id}" if files.is_local(self.fs) else self.path
        with self.fs.open_output_stream(target) as stream:
            stream.write(self.owner.to_json())
        if target != self.path:
            self.fs.move(target, self.path)

    def _delete(self) -> None:
        """Delete the lock if it is this process's."""
        with suppress(OSError):
            holder = self._read()
            if holder is not None and holder.id == self.owner.id:
                self.fs.delete_file(self.path)


def _interrupt_main() -> None:
    """Press Ctrl-C on the main thread, also while it waits for something."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()

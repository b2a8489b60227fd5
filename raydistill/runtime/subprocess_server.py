"""Servers that run beside raydistill in a process of their own, and never outlive it.

The child gets its settings as one JSON line on stdin (so that no key is ever in argv), answers with one JSON line when
it is ready, and ends when stdin ends: also when the parent was killed by SIGKILL, and on every platform.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

import raydistill
from raydistill.runtime.errors import TeacherError

LOG_TAIL = 600  # characters of the child's output that an error shows


@contextmanager
def running(module: str, config: Mapping[str, Any], *, what: str, hint: str, ready_s: float) -> Iterator[Any]:
    """Run `python -m module --child` for the length of the block; yields what the child said when it was ready.

    Raises TeacherError, with the end of the child's output, if it ends early or is not ready after `ready_s` seconds.
    """
    package = str(Path(raydistill.__file__).parents[1])
    path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH")) if p)
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", module, "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the parent, which still needs the server to finish cleanly
        )
        assert child.stdin
        assert child.stdout
        try:
            yield _ready(child, config, log, what=what, hint=hint, ready_s=ready_s)
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()


def _ready(
    child: subprocess.Popen[bytes], config: Mapping[str, Any], log: BinaryIO, *, what: str, hint: str, ready_s: float
) -> Any:
    assert child.stdin
    assert child.stdout
    answer: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=lambda out: answer.put(out.readline()), args=(child.stdout,), daemon=True).start()
    try:
        child.stdin.write(json.dumps(config).encode() + b"\n")
        child.stdin.flush()
        line = answer.get(timeout=ready_s)
        problem = f"ended with exit code {child.wait(10)}" if not line else ""
    except BrokenPipeError:
        problem = f"ended with exit code {child.wait(10)}"
    except (Empty, subprocess.TimeoutExpired):
        child.kill()
        problem = f"was not ready after {ready_s:.0f} s"
    if problem:
        log.seek(0)
        tail = log.read().decode(errors="replace").strip()[-LOG_TAIL:]
        raise TeacherError(f"{what} {problem}" + (f":\n{tail}" if tail else ""), hint)
    return json.loads(line)


def attach() -> tuple[Any, Callable[[Any], None]]:
    """In the child: its settings, and a function that reports it ready. The process ends when the parent is gone."""
    config = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes to the log
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def ready(message: Any) -> None:
        print(json.dumps(message), file=out, flush=True)
        out.close()

    return config, ready


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # no clean-up to wait for, and nothing that could hang

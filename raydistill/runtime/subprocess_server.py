"""Servers that run beside raydistill in a process of their own, and never outlive it.

Protocol: the parent writes the settings as one JSON line to the child's stdin (no key is ever in argv). The child
writes one JSON line to stdout when it is ready. It ends when its stdin ends, which happens on every platform when the
parent ends, even by SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, BinaryIO

import raydistill
from raydistill.runtime.errors import TeacherError

LOG_TAIL = 600  # characters of the child's output that an error shows
EXIT_TIMEOUT_S = 5  # for the child to end by itself
EXIT_CODE_TIMEOUT_S = 10


@contextmanager
def running(module: str, config: Mapping[str, Any], *, what: str, hint: str, ready_s: float) -> Iterator[Any]:
    """Run `python -m module --child` for the length of the block.

    Args:
        module: its main calls `attach`.
        config: settings of the child, JSON-able.
        what: name of the server at the start of an error message.
        hint: what to do if it does not start.
        ready_s: seconds until the child must be ready.

    Yields:
        what the child reported when it was ready.

    Raises:
        TeacherError: the child ended early or was not ready in time; the text has the end of its output.
    """
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", module, "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,  # Ctrl-C is for the parent, which still needs the server to finish cleanly
        )
        try:
            problem, message = _start(child, config, ready_s)
            if problem:
                raise TeacherError(f"{what} {problem}{_tail(log)}", hint)
            yield message
        finally:
            _stop(child)


def _python_path() -> str:
    """Return a PYTHONPATH on which the child finds the same raydistill as its parent."""
    folders = [str(Path(raydistill.__file__).parents[1])]
    if os.environ.get("PYTHONPATH"):
        folders.append(os.environ["PYTHONPATH"])
    return os.pathsep.join(folders)


def _start(child: subprocess.Popen[bytes], config: Mapping[str, Any], ready_s: float) -> tuple[str, Any]:
    """Send the settings and wait for the child's report; return (problem or "", report)."""
    assert child.stdin
    assert child.stdout
    lines: SimpleQueue[bytes] = SimpleQueue()
    # A thread, because reading a pipe has no timeout on every platform.
    threading.Thread(target=_read_line, args=(child.stdout, lines), daemon=True).start()
    try:
        child.stdin.write(json.dumps(config).encode() + b"\n")
        child.stdin.flush()
        line = lines.get(timeout=ready_s)
        if not line:
            return f"ended with exit code {child.wait(EXIT_CODE_TIMEOUT_S)}", None
    except BrokenPipeError:
        return f"ended with exit code {child.wait(EXIT_CODE_TIMEOUT_S)}", None
    except (Empty, subprocess.TimeoutExpired):
        child.kill()
        return f"was not ready after {ready_s:.0f} s", None
    return "", json.loads(line)


def _read_line(stream: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    lines.put(stream.readline())


def _tail(log: BinaryIO) -> str:
    """Return the end of the child's output, after a colon; "" if it wrote nothing."""
    log.seek(0)
    output = log.read().decode(errors="replace").strip()
    return f":\n{output[-LOG_TAIL:]}" if output else ""


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Close the child's stdin, which ends it; kill it if it does not end."""
    assert child.stdin
    assert child.stdout
    with suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def attach() -> tuple[Any, Callable[[Any], None]]:
    """Connect a child to its parent: return its settings, and a function that reports it ready.

    From then on the process ends when its parent does, and what is printed to stdout goes to the parent's log. Signals
    are for the parent, which still needs the server to finish cleanly: `ray job stop` sends them to the child as well.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    to_parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def ready(message: Any) -> None:
        print(json.dumps(message), file=to_parent, flush=True)
        to_parent.close()

    return config, ready


def _end_with_parent() -> None:
    sys.stdin.read()  # returns when the parent closes the pipe or ends
    os._exit(0)  # no clean-up to wait for, and nothing that could hang

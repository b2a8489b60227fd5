"""Which tests reach which lines, and whether the tests of a line notice a fault in it (`mutation.py`).

Each run of pytest is a fork of this process, which has loaded the libraries already but nothing of raydistill.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import coverage
import pytest
from mutants import Mutant

LIBRARIES = ("aiohttp", "genai_prices", "httpx2", "hypothesis", "openai", "pyarrow.parquet", "pydantic", "ray")
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "--durations=0", "--hypothesis-seed=0", "--no-header"]
LONGEST_TEST_S = 8.0  # a test that takes longer is left out
HANGS_S = 8.0  # a test may take so much longer than without a fault,
SLOWER = 4.0  # or so many times as long


class Reach(NamedTuple):
    """What the tests reach, and how long they take."""

    tests: dict[str, dict[int, list[str]]]
    """Ids of the tests that run a line, by file and line."""
    seconds: dict[str, float]
    """Of each test that passes."""

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a fault, the fastest first."""
        lines = self.tests.get(mutant.path, {})
        reached: set[str] = set()
        for line, tests in lines.items():
            if not mutant.is_in_function or mutant.line <= line <= mutant.last_line:
                reached.update(tests)
        fast = [test for test in reached if self.seconds.get(test, LONGEST_TEST_S) < LONGEST_TEST_S]
        return sorted(fast, key=lambda test: self.seconds[test])


class _Listener:
    """A plugin of pytest: leaves out what starts Ray, notes what passes, and says to coverage which test runs."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = {}
        self._measured = measured

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        kept = []
        for item in items:
            fixtures = getattr(item, "fixturenames", [])
            if "local_ray" not in fixtures and item.get_closest_marker("slow") is None:
                kept.append(item)
        items[:] = kept

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        yield

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = report.duration


class _Watch:
    """A plugin of pytest: ends a test that hangs, and with it the run; what the test has opened is closed."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        limit_s = HANGS_S + SLOWER * self._seconds.get(item.nodeid, 0.0)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, limit_s, HANGS_S)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def load_libraries() -> None:
    """Load what every fork needs."""
    for name in LIBRARIES:
        importlib.import_module(name)


def reach(root: Path, paths: Collection[str], test_files: list[str]) -> Reach:
    """Run all tests once in the copy at `root`; return what they reach of the modules `paths`."""
    out = root / "reach.json"

    def run() -> int:
        measured = coverage.Coverage(data_file=None, include=[str(root / path) for path in paths])
        listener = _Listener(measured)
        measured.start()
        options = [option for option in OPTIONS if option != "-x"]
        pytest.main([*options, *test_files], plugins=[listener])
        measured.stop()
        tests: dict[str, dict[int, list[str]]] = {}
        data = measured.get_data()
        for file in data.measured_files():
            by_line = {}
            for line, contexts in data.contexts_by_lineno(file).items():
                by_line[line] = [test for test in contexts if test in listener.seconds]
            tests[os.path.relpath(file, root)] = by_line
        out.write_text(json.dumps([tests, listener.seconds]))
        return 0

    _fork(root, run, timeout_s=3600.0)
    tests, seconds = json.loads(out.read_text())
    by_file: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for file, lines in tests.items():
        for line, ids in lines.items():
            by_file[file][int(line)] = ids
    return Reach(by_file, seconds)


def is_noticed(root: Path, mutant: Mutant, tests: list[str], seconds: dict[str, float]) -> bool:
    """Return whether one of `tests` fails with a fault in the copy at `root`, or takes far longer than `seconds`."""
    file = root / mutant.path
    source = file.read_bytes()
    status = file.stat()
    file.write_bytes(mutant.applied(source))
    later = time.time() + 1e6  # no compiled file is taken for it
    os.utime(file, (later, later))
    expected_s = sum(seconds[test] for test in tests)
    timeout_s = HANGS_S + SLOWER * expected_s + HANGS_S * len(tests)

    def run() -> int:
        return int(pytest.main([*OPTIONS, *tests], plugins=[_Watch(seconds)]))

    try:
        code = _fork(root, run, timeout_s)
    finally:
        file.write_bytes(source)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    return code != 0


def _fork(root: Path, run: Callable[[], int], timeout_s: float) -> int:
    """Run `run` in a fork of this process in the folder `root`; return its exit code, -1 if it is killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            log = os.open(root / "pytest.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(root)
            os.environ["PYTHONPATH"] = str(root)
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1" if sys.dont_write_bytecode else ""
            sys.path[0] = str(root)
            code = run()
            sys.stdout.flush()
        finally:
            os._exit(code)
    end = time.monotonic() + timeout_s
    pid = 0
    status = -1
    while pid == 0 and time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests have left
    if pid == 0:
        os.waitpid(child, 0)
        return -1
    return os.waitstatus_to_exitcode(status)

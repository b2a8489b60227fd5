"""One run directory, one command: the lock in real processes, on a local directory and on storage without locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from raydistill.cli import cascade, tune
from raydistill.runtime import heartbeat, run_lock
from raydistill.runtime.errors import UserError
from raydistill.runtime.lock_owner import Owner
from raydistill.runtime.store import Store

HOLD = """
import sys, time
from raydistill.runtime import run_lock
from raydistill.runtime.store import Store
with run_lock.hold(Store(sys.argv[1]), "raydistill run"):
    {then}
    print("held", flush=True)
    time.sleep(60)
"""
BEAT = """
import sys, time
import pyarrow.fs as pafs
from raydistill.runtime import heartbeat
from raydistill.runtime.lock_owner import Owner
path = sys.argv[1] + "/run.lock"
owner = Owner.this_process("raydistill run")
beats = heartbeat.Beats(pafs.LocalFileSystem(), path, sys.argv[1], owner, beat_s=0.1, stale_s=1.5, settle_s=0.3)
{before}
beats.start()
with beats.until_lost():
    print("held", flush=True)
    time.sleep(60)
"""


class Processes:
    """Children of a test, killed at its end."""

    def __init__(self) -> None:
        self.children: list[subprocess.Popen[str]] = []

    def start(self, code: str, place: Path) -> subprocess.Popen[str]:
        """Run `code` with `place` as its argument."""
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.children.append(child)
        return child

    def holding(self, code: str, place: Path) -> subprocess.Popen[str]:
        """Run `code` until it says that it holds the lock."""
        child = self.start(code, place)
        assert child.stdout
        assert child.stderr
        line = child.stdout.readline()
        assert line == "held\n", child.stderr.read()
        return child


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    for child in started.children:
        child.kill()
        child.communicate()


def test_a_second_command_is_told_who_holds_the_run_and_a_killed_one_holds_nothing(
    processes: Processes, tmp_path: Path
) -> None:
    child = processes.holding(HOLD.format(then=""), tmp_path)
    with pytest.raises(UserError) as caught, run_lock.hold(Store(str(tmp_path)), "raydistill tune"):
        raise AssertionError("held by two")
    text = str(caught.value)
    for words in (str(tmp_path), "raydistill run on", f"process {child.pid}", "since 20", f"kill {child.pid}"):
        assert words in text
    assert "sign of life" not in text  # the kernel knows
    assert "sleep" not in (tmp_path / "run.lock").read_text()  # no arguments: they may be private
    child.kill()
    child.wait()
    with run_lock.hold(Store(str(tmp_path)), "raydistill tune"):  # at once
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    with run_lock.hold(Store(str(tmp_path)), "raydistill run"), pytest.raises(UserError, match="in use"):  # noqa: SIM117
        with run_lock.hold(Store(str(tmp_path)), "raydistill run"):  # as two threads of a notebook would
            raise AssertionError("held by two")


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_command(processes: Processes, tmp_path: Path) -> None:
    fork = "import os; forked = os.fork(); forked or time.sleep(30) or os._exit(0); print(forked)"
    child = processes.start(HOLD.format(then=fork), tmp_path)
    assert child.stdout
    forked = int(child.stdout.readline())
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {child.pid}"), run_lock.hold(Store(str(tmp_path)), "raydistill"):
            raise AssertionError("held by two")
        child.kill()
        child.wait()
        os.kill(forked, 0)  # it lives
        with run_lock.hold(Store(str(tmp_path)), "raydistill run"):
            pass
    finally:
        os.kill(forked, signal.SIGKILL)


def test_every_command_that_writes_a_run_takes_its_lock(processes: Processes, tmp_path: Path) -> None:
    processes.holding(HOLD.format(then=""), tmp_path)
    from raydistill import pipeline
    from raydistill.config import Settings

    with pytest.raises(UserError, match="in use by another command"):
        pipeline.run(Settings(run_dir=str(tmp_path)))
    for command in (tune, cascade):
        with pytest.raises(UserError, match="in use by another command"):
            command.main(["--run_dir", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"run.lock", "tables"}  # nothing was written


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(UserError, match=r"run\.lock in the run directory"), run_lock.hold(store, "raydistill run"):
        raise AssertionError("held")


def beats(place: Path, **seconds: float) -> heartbeat.Beats:
    owner = Owner.this_process("raydistill cascade")
    timing = {"beat_s": 0.1, "stale_s": 1.5, "settle_s": 0.3, **seconds}
    return heartbeat.Beats(pafs.LocalFileSystem(), f"{place}/run.lock", str(place), owner, **timing)


def test_without_locks_a_heartbeat_shows_who_lives(processes: Processes, tmp_path: Path) -> None:
    child = processes.holding(BEAT.format(before=""), tmp_path)
    time.sleep(2)  # longer than a silence that counts as death
    with pytest.raises(UserError, match=rf"process {child.pid}, since .*, last sign of life 0 s ago") as caught:
        beats(tmp_path).start()
    assert "its lock ends 2 s after its last sign of life" in caught.value.hint
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert not (tmp_path / "run.lock").exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_dead_holder_of_this_machine_is_seen_at_once_and_one_of_another_when_it_was_silent(
    processes: Processes, tmp_path: Path
) -> None:
    child = processes.holding(BEAT.format(before=""), tmp_path)
    child.kill()
    child.wait()
    first = beats(tmp_path)
    first.start()
    with first.until_lost():
        pass
    elsewhere = BEAT.format(before='beats.owner = owner._replace(machine="another")')
    child = processes.holding(elsewhere, tmp_path)
    child.kill()
    child.wait()
    with pytest.raises(UserError, match="last sign of life"):
        beats(tmp_path).start()
    time.sleep(1.6)
    second = beats(tmp_path)
    second.start()
    with second.until_lost():
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


def test_of_commands_that_start_together_one_goes_on(processes: Processes, tmp_path: Path) -> None:
    begin = time.time() + 4  # all have imported what they need by then
    together = BEAT.format(before=f"time.sleep(max(0.0, {begin} - time.time()))")
    children = [processes.start(together, tmp_path) for _ in range(4)]
    living = children
    while len(living) > 1:
        time.sleep(0.1)
        assert time.time() < begin + 60
        living = [child for child in living if child.poll() is None]
    time.sleep(0.5)
    assert [child.poll() for child in living] == [None]
    for child in children:
        if child is not living[0]:
            assert "in use by another command" in child.communicate()[1]


def test_a_command_whose_lock_was_taken_over_ends(processes: Processes, tmp_path: Path) -> None:
    child = processes.holding(BEAT.format(before='beats.owner = owner._replace(machine="another")'), tmp_path)
    child.send_signal(signal.SIGSTOP)  # a laptop is closed
    time.sleep(1.8)
    mine = beats(tmp_path)
    mine.start()
    with mine.until_lost():
        child.send_signal(signal.SIGCONT)
        _, errors = child.communicate(timeout=10)
        assert f"taken over the run directory {tmp_path}: raydistill cascade" in errors
        assert f"process {os.getpid()}" in errors
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()  # and it did not delete mine
    assert not (tmp_path / "run.lock").exists()


def test_a_run_on_a_uri_has_a_lock_too() -> None:
    store = Store("mock:///run")
    with run_lock.hold(store, "raydistill run"):
        assert json.loads(store.read_text("run.lock") or "")["command"] == "raydistill run"
        with pytest.raises(UserError, match="last sign of life"), run_lock.hold(store, "raydistill run"):
            raise AssertionError("held by two")
    assert store.read_text("run.lock") is None

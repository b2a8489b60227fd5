"""Ctrl-C and SIGTERM end a command alike: calls in flight come home, and a second signal does not wait for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.teacher_stage import KEY

from raydistill import simulated
from raydistill.config import SimulatedSettings
from raydistill.runtime import stopping
from raydistill.teacher import journal
from raydistill.teacher.journal import records
from raydistill.teacher.journal.scan import scan

RUN = "--questions.tasks coin_flip --questions.source generated --students.methods fine_tune_cot --teacher.kind api"


@pytest.fixture
def server() -> Iterator[simulated.Teacher]:
    with simulated.serve(SimulatedSettings(latency_s=0.01), api_key=KEY) as teacher:
        yield teacher


class Command:
    """`raydistill run` in a process of its own, with a Ray of its own unless `ray` names one."""

    def __init__(self, run_dir: Path, base_url: str, timeout: float, ray: str = "") -> None:
        arguments = [*RUN.split(), "--run_dir", str(run_dir), "--teacher.base_url", base_url]
        arguments += ["--teacher.model", simulated.MODEL, "--teacher.api_key_env", "STAGE_KEY"]
        arguments += ["--teacher.max_concurrency", "8", "--teacher.timeout", str(timeout), "--ray.num_cpus", "2"]
        environment = {**os.environ, "STAGE_KEY": KEY}
        if ray:
            environment["RAY_ADDRESS"] = ray
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raydistill", "run", "quickstart", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed `text`."""
        deadline = time.monotonic() + 60
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def end(self, timeout: float) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(timeout)
        self.reader.join(timeout)
        return code


def wait_for_requests(server: simulated.Teacher, count: int, command: Command) -> None:
    deadline = time.monotonic() + 120
    while server.stats()["requests"] < count:
        assert command.process.poll() is None, command.output
        assert time.monotonic() < deadline, command.output
        time.sleep(0.05)


def replies(run_dir: Path) -> int:
    folder = journal.Folder(str(run_dir / "journal"), read_only=True)
    return sum(records.kind_of(entry) == "reply" for entry in scan(folder))


@pytest.mark.slow
def test_sigterm_brings_the_calls_in_flight_home_and_ends_ray(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"delay_s": 3, "text": " 5"}])
    command = Command(tmp_path, server.base_url, timeout=300)
    wait_for_requests(server, 8, command)
    children = psutil.Process(command.process.pid).children(recursive=True)
    assert any("raylet" in child.name() for child in children)
    command.process.send_signal(signal.SIGTERM)
    assert command.end(60) == 143, command.output
    sent = server.stats()["requests"]
    assert replies(tmp_path) == sent == server.stats()["answered"]  # every reply that came
    assert "8 in flight are waited for, at most 5 min" in command.output  # as long as teacher.timeout says
    assert "Stopped. Every answer that was paid for is kept. To continue, run the same command" in command.output
    assert "Traceback" not in command.output
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_leaves_at_once_and_says_so(
    server: simulated.Teacher, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    import ray

    server.script([{"delay_s": 100, "text": " 5"}])
    command = Command(tmp_path, server.base_url, 300, ray.get_runtime_context().gcs_address)
    wait_for_requests(server, 8, command)
    command.process.send_signal(number)
    command.wait_for("8 in flight are waited for")
    time.sleep(1)
    assert command.process.poll() is None
    command.process.send_signal(number)
    started = time.monotonic()
    assert command.end(60) == code, command.output
    assert time.monotonic() - started < 20
    assert "Stopped without waiting for 8 calls in flight" in command.output
    assert "Every answer that was paid for is kept" not in command.output
    assert "Traceback" not in command.output


def test_sigterm_outside_a_stage_ends_with_the_same_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes the call of the preflight, and does not answer
        command = Command(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/v1", timeout=300)
        silent.settimeout(60)
        silent.accept()
        command.process.send_signal(signal.SIGTERM)
        assert command.end(30) == 143, command.output
    assert "Stopped. Every answer that was paid for is kept. To continue, run the same command" in command.output
    assert "Traceback" not in command.output
    assert "ended with Terminated" in (tmp_path / "run.log").read_text()


def test_the_handler_of_sigterm_is_put_back() -> None:
    theirs = signal.getsignal(signal.SIGTERM)
    with stopping.on_sigterm():
        ours = signal.getsignal(signal.SIGTERM)
        assert ours is not theirs
        with stopping.keeping_our_handler(), stopping.on_sigterm():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as ray.init does with a handler of its own
        assert signal.getsignal(signal.SIGTERM) is ours
        with pytest.raises(stopping.Terminated):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is theirs
    with stopping.keeping_our_handler():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # it was not ours before
    signal.signal(signal.SIGTERM, theirs)

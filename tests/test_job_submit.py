"""`ray job submit -- python jobs/full_pipeline.py` on a real `ray start --head`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydistill import simulated
from raydistill.config import SimulatedSettings
from raydistill.runtime.store import Store
from raydistill.teacher import journal
from raydistill.teacher.journal import records
from raydistill.teacher.journal.scan import scan

ROOT = Path(__file__).resolve().parents[1]
RAY = str(Path(sys.executable).with_name("ray"))
TINY = (
    "--questions.limit_train 16 --questions.limit_test 4 --students.max_steps 2 --students.max_new_tokens 8 "
    "--students.cpus_per_worker 1 --exemplars.n_clusters 2 --students.methods new_fine_tune_cot "
    "--students.evaluate_untrained false"
).split()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[str, str]]:
    """(cluster address, job server) of a head node of its own, beside any other Ray on this machine."""
    gcs, dashboard = free_port(), free_port()
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", f"--port={gcs}", f"--dashboard-port={dashboard}"]
    command += [
        "--disable-usage-stats",
        f"--dashboard-agent-listen-port={free_port()}",
        f"--ray-client-server-port={free_port()}",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # as in an activated environment
    env = os.environ | {"RAY_AUTH_MODE": "disabled", "PATH": path}
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    server = f"http://127.0.0.1:{dashboard}"
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{server}/api/version", timeout=2).close()
            break
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the head's job server did not come up"
            time.sleep(0.5)
    yield f"127.0.0.1:{gcs}", server
    os.killpg(process.pid, signal.SIGKILL)  # nothing to save: SIGTERM alone takes longer than 8 s
    process.wait()


def submit(server: str, *command: str) -> subprocess.Popen[str]:
    """Submit a job that uploads this clone, from another directory; `command` follows options and "--"."""
    job = [RAY, "job", "submit", "--address", server, "--working-dir", str(ROOT), *command]
    return subprocess.Popen(job, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")


@pytest.mark.slow
def test_the_pipeline_as_a_ray_job(head: tuple[str, str], tmp_path: Path, tiny_gpt2: Path) -> None:
    """The job finds the cluster by itself, and its tables lie where the absolute run directory says.

    A job with a wrong setting, beside it, fails with the sentence that a user would see.
    """
    command = ["python", "jobs/full_pipeline.py", "--run_dir", str(tmp_path / "run"), "--students.models"]
    command += [str(tiny_gpt2), *TINY]
    job = submit(head[1], "--", *command)
    rejected = submit(head[1], "--", *command, "--teacher.modle", "x")
    rejected_output, _ = rejected.communicate(timeout=200)
    assert rejected.returncode != 0
    assert "--teacher.model" in rejected_output
    output, _ = job.communicate(timeout=400)
    assert job.returncode == 0, output[-4000:]
    assert "report.html" in output
    results = Store(str(tmp_path / "run")).read("results").to_pylist()
    assert [row["n"] for row in results] == [4, 4]
    assert not any(row["error"] for row in results)


@pytest.mark.slow
def test_a_stopped_job_brings_the_calls_in_flight_home(head: tuple[str, str], tmp_path: Path) -> None:
    """`ray job stop` sends SIGTERM, and gives the job the time that RAY_JOB_STOP_WAIT_TIME_S says."""
    run = tmp_path / "run"
    command = ["--questions.tasks", "coin_flip", "--questions.source", "generated", "--run_dir", str(run)]
    command += ["--students.methods", "fine_tune_cot", "--teacher.kind", "api", "--teacher.max_concurrency", "8"]
    address = ["--address", head[1]]
    patience = ["--submission-id", "stopped", "--runtime-env-json", '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}']
    with simulated.serve(SimulatedSettings()) as server:
        server.script([{"delay_s": 6, "text": " 5"}])  # longer than the 3 s that Ray gives by itself
        command += ["--teacher.base_url", server.base_url, "--teacher.model", server.model]
        job = submit(head[1], *patience, "--no-wait", "--", "python", "jobs/full_pipeline.py", *command)
        assert job.wait(100) == 0, job.communicate()[0]
        deadline = time.monotonic() + 100
        while server.stats()["requests"] < 8:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        subprocess.run([RAY, "job", "stop", *address, "stopped"], check=True, timeout=100, capture_output=True)
        logs = subprocess.run([RAY, "job", "logs", *address, "stopped"], timeout=100, capture_output=True, text=True)
        assert "Stopped. Every answer that was paid for is kept." in logs.stdout, logs.stdout
        entries = scan(journal.Folder(str(run / "journal"), read_only=True))
        replies = sum(records.kind_of(entry) == "reply" for entry in entries)
        assert replies == server.stats()["answered"] == server.stats()["requests"]

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

from raydistill.runtime.store import Store

ROOT = Path(__file__).resolve().parents[1]
RAY = str(Path(sys.executable).with_name("ray"))
TINY = (
    "--questions.limit_train 16 --questions.limit_test 4 --students.max_steps 2 --students.max_new_tokens 8 "
    "--students.cpus_per_worker 1 --exemplars.n_clusters 2 --students.methods new_fine_tune_cot --students.evaluate_untrained false"
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
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(8)
    except subprocess.TimeoutExpired:
        pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_pipeline_as_a_ray_job(head, tmp_path, tiny_gpt2):
    """The job finds the cluster by itself, and its tables lie where the absolute run directory says."""
    job = ["python", "jobs/full_pipeline.py", "--run_dir", str(tmp_path / "run"), "--students.models", str(tiny_gpt2)]
    submit = [RAY, "job", "submit", "--address", head[1], "--working-dir", str(ROOT), "--", *job, *TINY]
    done = subprocess.run(submit, capture_output=True, text=True, timeout=400, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "report.html" in done.stdout
    results = Store(str(tmp_path / "run")).read("results").to_pylist()
    assert [row["n"] for row in results] == [4, 4]
    assert not any(row["error"] for row in results)

    refused = subprocess.run([*submit, "--teacher.modle", "x"], capture_output=True, text=True, timeout=200)
    assert refused.returncode != 0
    assert "--teacher.model" in refused.stdout + refused.stderr

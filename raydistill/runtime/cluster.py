"""Ray, found or started, and quiet: a new single-node Ray, the job's cluster, or a running one.

Importing this module sets the environment that Ray reads when it is imported, so import it before `ray`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raydistill.runtime import ray_internals
from raydistill.runtime.errors import UserError

for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry, no prompt
    "RAY_AUTH_MODE": "disabled",  # explicit: unset, a local ray.init() writes a token that later commands stumble over
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray Data prints a C++ ERROR for every actor pool (ray#53727)
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_worker_niceness": "0",  # 15 by default: other work on the machine then slows a run two- to fourfold
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller's poll; 2 s by default, felt at every report
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}.items():
    os.environ.setdefault(_name, _value)


def connect(*, address: str | None = None, num_cpus: int | None = None, include_dashboard: bool = False) -> None:
    """Connect to Ray, once per process: to `address`, else RAY_ADDRESS (set inside a Ray job), else to a new Ray.

    Args:
        address: a running cluster ("auto" or host:port).
        num_cpus: logical CPUs of a new single-node Ray; all cores if None.
        include_dashboard: start the dashboard of a new single-node Ray.

    Raises:
        UserError: the cluster cannot be reached.
    """
    import ray

    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
        "runtime_env": _runtime_env(),
    }
    if address:
        _check_port(address)
        options["address"] = address
    else:
        # address="local": never join a Ray that somebody else left running on this machine.
        options |= {"address": "local", "include_dashboard": include_dashboard, "num_cpus": num_cpus}
        port = ray_internals.choose_gcs_port()
        # Ray Train asks "a Ray on this machine" whether its controller lives, and takes it for dead where it asks
        # another one than its own: this names it.
        options["runtime_env"]["env_vars"]["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # a process a trial; nobody takes this node
    try:
        with _without_native_stderr():
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not address:
            raise
        raise _unreachable(address, str(error)) from None
    finally:
        ray_internals.forget_gcs_port()
    quiet()


@contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Ray's C++ core announces the log level that we set, on file descriptor 2; errors come as exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_port(address: str) -> None:
    """Ray tries a dead address for minutes: look first whether anything listens there (host:port, ray://host:port)."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto", "local"
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _unreachable(address, str(error)) from None


def _unreachable(address: str, why: str) -> UserError:
    return UserError(
        f"No Ray cluster answers at {address} (setting ray.address or RAY_ADDRESS): {(why.splitlines() or [''])[0]}",
        "Check the address, and that RAY_AUTH_MODE is the same here and on the cluster.",
    )


def quiet() -> None:
    """Keep Ray Data and friends from printing over our own progress lines (this process)."""
    import ray.data

    for name in ("ray.data", "ray.train", "ray.tune", "ray._private", "httpx", "httpx2", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False  # rows carry ids
    context.execution_no_progress_timeout_s = -1  # a long rate-limit pause is no hang


def _runtime_env() -> dict[str, Any]:
    """Ship this package to the workers, unless the job already ships a working directory or modules."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get("runtime_env") or {}
    env: dict[str, Any] = {
        "env_vars": {
            name: os.environ[name]
            for name in ("TOKENIZERS_PARALLELISM", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")
            if name in os.environ
        }
    }
    if "working_dir" not in job and "py_modules" not in job:
        env["py_modules"] = [str(Path(__file__).resolve().parents[1])]
    return env

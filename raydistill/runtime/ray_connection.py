"""Find or start Ray: a new single-node Ray, the job's cluster, or a running one.

Importing this module sets the environment that Ray reads when it is imported (`quiet`), so import it before `ray`.
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

from raydistill.runtime import quiet, ray_internals, stopping
from raydistill.runtime.errors import UserError
from raydistill.runtime.formatting import first_line

PORT_TIMEOUT_S = 10
FORWARDED = ("TOKENIZERS_PARALLELISM", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")
"""Variables that workers on other nodes get as well."""


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
        # address="local": never join a Ray that another user left running on this machine.
        options |= {"address": "local", "include_dashboard": include_dashboard, "num_cpus": num_cpus}
        port = ray_internals.choose_gcs_port()
        # Ray Train asks "a Ray on this machine" whether its controller is alive. If there are several it may ask the
        # wrong one and take the controller for dead; RAY_ADDRESS names the right one.
        options["runtime_env"]["env_vars"]["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        # The watcher is a process per trial, and nobody preempts this machine.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    try:
        with _without_native_stderr(), stopping.keeping_our_handler():
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not address:
            raise
        raise _unreachable(address, error) from None
    finally:
        ray_internals.forget_gcs_port()
    quiet.silence_loggers()


@contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Discard what is written to file descriptor 2.

    Ray's C++ core announces there the log level that we set. Errors of `ray.init` come as exceptions, not as text.
    """
    sys.stderr.flush()
    original = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(devnull)


def _check_port(address: str) -> None:
    """Raise UserError if nothing listens at `address`; Ray itself would try a dead address for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto" or "local", not host:port or ray://host:port
    try:
        socket.create_connection((host, int(port)), timeout=PORT_TIMEOUT_S).close()
    except OSError as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str, error: Exception) -> UserError:
    return UserError(
        f"No Ray cluster answers at {address} (setting ray.address or RAY_ADDRESS): {first_line(error)}",
        "Check the address, and that RAY_AUTH_MODE is the same here and on the cluster.",
    )


def _runtime_env() -> dict[str, Any]:
    """Return the runtime environment of workers: a few variables, and this package unless the job ships code itself."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    job_env = job.get("runtime_env") or {}
    env: dict[str, Any] = {"env_vars": {name: os.environ[name] for name in FORWARDED if name in os.environ}}
    if "working_dir" not in job_env and "py_modules" not in job_env:
        env["py_modules"] = [str(Path(__file__).resolve().parents[1])]
    return env

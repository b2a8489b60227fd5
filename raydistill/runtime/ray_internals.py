"""The corners of Ray that are private, undocumented or worked around, all in this file.

Tried with Ray 2.60.0; pyproject.toml admits no other minor version. Before it does, run tests/test_cluster.py and the
slow tests of tests/test_students_grid.py and tests/test_students_search.py, and go through this list.

Corner, and what breaks without it:

- `choose_gcs_port` (environment variable RAY_GCS_SERVER_PORT): the port of a new Ray must be known before it starts,
  so that its workers can be given it as RAY_ADDRESS. Without it, a training beside another Ray of the same machine asks
  that one whether its controller lives, and ends as if it were dead.
- `failure_config` (class in `ray.train.v2.api.config`): `ray.train.FailureConfig` is this class at run time, but type
  checkers see version 1 of it, which has no `controller_failure_limit`. Without the limit, a trial that can never be
  placed on one's own machine waits without end.
- `allocator` (the libjemalloc.so that Ray's wheel brings): without it a CPU worker returns gigabytes to the kernel and
  takes them back at every step, and needs 1.2 times as long (docs/architecture.md). If the file is missing, glibc's
  allocator is used.
- `current_placement_group`, `free_placement_group`: Ray Train's own cleaner asks the dashboard whether a trial's driver
  lives, and a Ray that raydistill starts has none. Without them, the CPUs and GPUs of a trial whose driver died stay
  reserved, and all trials after it wait without end.
- `HEAD_NODE` (the resource `node:__internal_head__`): without it, drivers of trials take a CPU each, or lie on worker
  nodes that an autoscaler removes.
- `silence_tune` (environment variables TUNE_* and RAY_AIR_NEW_OUTPUT): without them Tune writes CSV and TensorBoard
  files beside our own, ends with the current trials only at Ctrl-C, rejects reports within an epoch, which have no
  accuracy yet, and prints a table.
- `failure_cause` (attributes `worker_failures`, `controller_failure`, `cause` of Ray's exceptions): without them an
  error is Ray's stack of wrapped exceptions rather than the line that the worker raised.

Elsewhere, public but easily broken: `students/early_stopping.py` overrides two methods of Tune's ASHA scheduler;
`students/tune_callback.py` is pickled by Tune with its experiment; `runtime/ray_connection.py` sets switches of Ray's
environment, each with its reason.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.runtime.formatting import first_line, last_line

if TYPE_CHECKING:
    from ray.train.v2.api.config import FailureConfig

HEAD_NODE = {"node:__internal_head__": 0.001}
"""Resources of an actor that only waits: it runs on the head node and takes no CPU."""

GCS_PORT_VARIABLE = "RAY_GCS_SERVER_PORT"

CONTROLLER_FAILURES_ON_ONE_MACHINE = 3


def choose_gcs_port() -> str:
    """Choose a free port for the Ray that this process starts next, and return it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = str(probe.getsockname()[1])
    os.environ[GCS_PORT_VARIABLE] = port
    return port


def forget_gcs_port() -> None:
    """Undo `choose_gcs_port`, so that another Ray started by this process does not get the same port."""
    os.environ.pop(GCS_PORT_VARIABLE, None)


def silence_tune() -> None:
    """Let Tune neither print nor write files of its own, and let Ctrl-C end the run, not just its trials."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output prints a table even if verbose is 0


def failure_config(max_failures: int, *, nodes_may_come: bool) -> FailureConfig:
    """Return how often Ray Train restarts a training that lost a worker, and how long it tries to place one.

    Args:
        max_failures: restarts from the last checkpoint.
        nodes_may_come: on a cluster that may still start nodes, try to place the workers without end.
    """
    from ray.train.v2.api.config import FailureConfig

    placing = -1 if nodes_may_come else CONTROLLER_FAILURES_ON_ONE_MACHINE
    return FailureConfig(max_failures=max_failures, controller_failure_limit=placing)


def allocator() -> dict[str, str]:
    """Return the environment of a worker that trains on a CPU, in which memory freed by a step is kept for the next.

    glibc gives large blocks back to the kernel and takes them again page by page, gigabytes a step. Ray brings jemalloc
    (Linux); here without its rule that blocks of 8 MB go back at once. Empty if there is none, or if the environment
    has chosen an allocator already.
    """
    import ray

    library = Path(ray.__file__).with_name("core") / "libjemalloc.so"
    if not library.is_file() or "LD_PRELOAD" in os.environ or "MALLOC_CONF" in os.environ:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "MALLOC_CONF": "oversize_threshold:0,dirty_decay_ms:60000,muzzy_decay_ms:0",
    }


def current_placement_group() -> str | None:
    """Return the id (hex) of the placement group that this worker runs in; None outside of one."""
    from ray.util import get_current_placement_group

    group = get_current_placement_group()
    return group.id.hex() if group else None


def free_placement_group(group_id: str) -> None:
    """Give back the CPUs and GPUs of the placement group with this id (hex), and end the actors in it."""
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id))))


def failure_cause(error: BaseException) -> str:
    """Return the first worker's own exception in one line, rather than Ray's stack of exceptions around it."""
    worker_failures: dict[int, BaseException] = getattr(error, "worker_failures", None) or {}
    if worker_failures:
        cause = worker_failures[min(worker_failures)]
    else:
        cause = getattr(error, "controller_failure", error)
    for name in ("cause", "_cause"):
        wrapped = getattr(cause, name, None)
        if wrapped:
            cause = wrapped
            break
    return last_line(cause) if "Traceback" in str(cause) else first_line(cause)

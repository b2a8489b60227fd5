"""A Ray of one node whose processes can be found and killed."""

from __future__ import annotations

import contextlib
import signal

import psutil


class RayNode:
    """A Ray of one node beside this process, so that a killed driver finds it still there."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the node, and note its processes."""
        from ray.cluster_utils import Cluster

        earlier = psutil.Process().children()
        node = {"num_cpus": 2, "include_dashboard": False}
        self.address: str = Cluster(initialize_head=True, head_node_args=node).address
        self.roots = [process for process in psutil.Process().children() if process not in earlier]

    def processes(self) -> list[psutil.Process]:
        """Return the node's processes and all their descendants."""
        processes = []
        for root in self.roots:
            processes.append(root)
            processes += _children(root)
        return processes

    def workers(self, name: str) -> list[psutil.Process]:
        """Return the worker processes whose command line contains `name`."""
        workers = []
        for process in self.processes():
            command = _command_line(process)
            if "ray::" in command and name in command:
                workers.append(process)
        return workers

    def kill(self) -> None:
        """Kill every process of the node."""
        processes = self.processes()
        for process in processes:
            kill_process(process)
        psutil.wait_procs(processes, timeout=60)


def kill_process(process: psutil.Process) -> None:
    """Send SIGKILL; a process that has ended is no error."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGKILL)


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []

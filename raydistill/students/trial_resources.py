"""The CPUs and GPUs of a trial's workers, and how many trials have room at once."""

from __future__ import annotations

import os
from typing import NamedTuple

from raydistill.config import Settings, StudentSettings
from raydistill.runtime import resources
from raydistill.runtime.errors import SettingsError


class TrialResources(NamedTuple):
    """What one worker takes, and how many trials run at once."""

    cpus: float
    gpus: float
    trials_at_once: int


def trial_resources(settings: Settings) -> TrialResources:
    """Return what the settings ask for, or what the machine suggests; Ray must be connected.

    Raises:
        SettingsError: not one trial fits on a machine that will not grow.
    """
    students = settings.students
    cpus = students.cpus_per_worker or _cpus_by_default(students)
    if students.gpus_per_worker is None:
        gpus = 1.0 if resources.total("GPU") >= 1 else 0.0
    else:
        gpus = students.gpus_per_worker
    if not is_own_machine(settings):
        # A cluster may grow: what does not fit yet is asked for, and the autoscaler answers.
        return TrialResources(cpus, gpus, students.max_concurrent_trials)
    _check_that_one_fits(students, cpus, gpus)
    workers = resources.actors_that_fit(cpus=cpus, gpus=gpus) or 1
    return TrialResources(cpus, gpus, max(1, workers // students.num_workers))


def is_own_machine(settings: Settings) -> bool:
    """Return True if Ray was started by this process on this machine: no nodes will be added to it."""
    return not (settings.ray.address or os.environ.get("RAY_ADDRESS"))


def _cpus_by_default(students: StudentSettings) -> float:
    """Return the CPUs of one worker: all are shared out over the workers of concurrent trials."""
    workers = max(1, students.num_workers * students.max_concurrent_trials)
    largest_node = max(node.get("CPU", 0.0) for node in resources.nodes())
    return max(1.0, min(largest_node, resources.total("CPU") // workers))


def _check_that_one_fits(students: StudentSettings, cpus: float, gpus: float) -> None:
    shortage = resources.shortage(cpus=cpus, gpus=gpus, actors=students.num_workers)
    if shortage is None:
        return
    setting = f"students.{shortage.resource.lower()}s_per_worker"
    raise SettingsError(
        f"A trial needs students.num_workers {students.num_workers} × {setting} {shortage.per_actor:g}, "
        f"but Ray has {shortage.available:g} {shortage.resource}s here.",
        f"Lower students.num_workers or {setting}, or connect to a cluster with ray.address.",
    )

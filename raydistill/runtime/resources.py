"""What the nodes of Ray hold, and how many actors fit on them."""

from __future__ import annotations

from typing import Literal, NamedTuple

Resource = Literal["CPU", "GPU"]


class Shortage(NamedTuple):
    """A resource of which the nodes hold too little."""

    resource: Resource
    per_actor: float
    """What one actor takes of it."""
    available: float
    """What all nodes hold of it."""


def nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is alive: {"CPU": 16.0, "GPU": 1.0, …}; Ray must be connected."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def total(resource: Resource) -> float:
    """Return what all nodes hold of `resource`, in use or not."""
    return sum(node.get(resource, 0.0) for node in nodes())


def actors_that_fit(*, cpus: float, gpus: float) -> int | None:
    """Return how many actors of this size the empty nodes hold at once; None if they take nothing.

    Each resource is counted by itself, node by node; the smaller count is returned.
    """
    counts = []
    if cpus:
        counts.append(_count("CPU", cpus))
    if gpus:
        counts.append(_count("GPU", gpus))
    return min(counts, default=None)


def shortage(*, cpus: float, gpus: float, actors: int = 1) -> Shortage | None:
    """Return the first resource that keeps `actors` actors of this size from running at once; None if they fit.

    Ray would wait without end for what no node will ever hold; a cluster that grows may hold it later.
    """
    if cpus and _count("CPU", cpus) < actors:
        return Shortage("CPU", cpus, total("CPU"))
    if gpus and _count("GPU", gpus) < actors:
        return Shortage("GPU", gpus, total("GPU"))
    return None


def _count(resource: Resource, amount: float) -> int:
    """Return how many actors find `amount` of one resource, each on one node."""
    count = 0
    for node in nodes():
        count += int(node.get(resource, 0.0) / amount + 1e-6)  # 1 GPU holds 10 actors of 0.1
    return count

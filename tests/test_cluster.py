"""Ray: the cluster file by Ray's own validation, addresses that do not answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from raydistill.runtime import ray_connection
from raydistill.runtime.errors import UserError

CLUSTER = Path(__file__).resolve().parents[1] / "cluster.yaml"


def validated(text: str) -> dict:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(yaml.safe_load(text))
    validate_config(prepared)
    return prepared


def test_the_cluster_file_is_valid_and_its_gpu_workers_scale_from_nothing() -> None:
    config = validated(CLUSTER.read_text())
    workers = config["available_node_types"]["gpu_worker"]
    assert config["available_node_types"][config["head_node_type"]]["resources"]["GPU"] == 0
    assert (workers["min_workers"], workers["resources"]["GPU"]) == (0, 1)
    assert workers["max_workers"] > 0


def test_rays_validation_would_see_a_mistake() -> None:
    with pytest.raises(Exception, match="max_worker"):
        validated(CLUSTER.read_text().replace("max_workers: 7", "max_worker: 7"))


def test_a_cluster_that_does_not_answer_is_named_with_what_to_check() -> None:
    import subprocess
    import sys

    code = (
        "from raydistill.runtime import ray_connection\n"
        "from raydistill.runtime.errors import UserError\n"
        "try:\n    ray_connection.connect(address='127.0.0.1:1')\n"
        "except UserError as e:\n    print('SAID', e)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "SAID No Ray cluster answers at 127.0.0.1:1" in shown.stdout, shown.stderr[-2000:]


@pytest.mark.usefixtures("local_ray")
def test_workers_can_import_the_package_and_a_second_connect_is_nothing() -> None:
    import ray

    ray_connection.connect()
    assert ray.get(ray.remote(num_cpus=0)(lambda: __import__("raydistill").__version__).remote())


def test_user_errors_survive_the_way_through_ray() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(UserError("what", "do this")))
    assert (error.message, error.hint) == ("what", "do this")

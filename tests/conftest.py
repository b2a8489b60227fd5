"""Fixtures shared by the tests: a quiet local Ray, and the published benchmark files if they are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # before ray is imported: else ~/.ray/auth_token is written
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis
import pytest

hypothesis.settings.register_profile("busy", deadline=None)  # on a busy machine a single example may take long
hypothesis.settings.load_profile("busy")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
if "RAYDISTILL_DATA_DIR" not in os.environ and SHARED_DATA.is_dir():
    os.environ["RAYDISTILL_DATA_DIR"] = str(SHARED_DATA)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of the published benchmark files; tests that need them are skipped without it."""
    path = os.environ.get("RAYDISTILL_DATA_DIR")
    if not path:
        pytest.skip("needs the published files: set RAYDISTILL_DATA_DIR")
    return Path(path)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start one single-node Ray of 2 CPUs for the whole test session."""
    import ray

    from raydistill.runtime import ray_connection

    ray_connection.connect(num_cpus=2)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Limit torch to one thread: with tiny models, more of them only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a decoder-only student of about 40,000 parameters (tests/support/tiny_models.py)."""
    from support import tiny_models

    return tiny_models.gpt2(tmp_path_factory.mktemp("tiny") / "gpt2")


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an encoder-decoder student of about 50,000 parameters (tests/support/tiny_models.py)."""
    from support import tiny_models

    return tiny_models.t5(tmp_path_factory.mktemp("tiny") / "t5")

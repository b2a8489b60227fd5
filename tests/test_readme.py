"""The README is true: its commands parse, its settings exist, its files are there, and its first command runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.documents import ROOT, check_command, document, setting_names

from raydistill.config import Settings
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.store import Store

README = document("README.md")
FIRST = ["pip install -e '.[local]' && python jobs/full_pipeline.py", "pip install -e '.[test]' && pytest"]
TOY_SIZE = (
    "--local --questions.limit_train 24 --questions.limit_test 6 --exemplars.n_clusters 3 "
    "--students.max_steps 2 --students.max_new_tokens 8 --students.evaluate_untrained false"
)


@pytest.fixture
def my_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file that the README shows, in the working directory."""
    [text] = [block for block in README.blocks("yaml") if block.startswith("# my.yaml")]
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def test_the_two_first_commands_come_first() -> None:
    assert [block.strip() for block in README.blocks("bash")[:2]] == FIRST


@pytest.mark.usefixtures("my_yaml")
@pytest.mark.parametrize("words", README.commands(), ids=" ".join)
def test_every_command_parses(words: list[str]) -> None:
    check_command(words)


@pytest.mark.usefixtures("my_yaml")
def test_a_wrong_command_would_be_seen() -> None:
    with pytest.raises(SettingsError):
        check_command(["python", "jobs/full_pipeline.py", "--teacher.modle", "x"])
    with pytest.raises(SettingsError):
        check_command(["ray", "job", "submit", "--", "python", "jobs/full_pipeline.py", "no-such.yaml"])


def test_every_settings_block_is_valid() -> None:
    for block in README.blocks("yaml"):
        Settings.model_validate(yaml.safe_load(block))


def test_every_python_block_compiles() -> None:
    for block in README.blocks("python"):
        compile(block, README.name, "exec")


def test_every_file_and_setting_that_is_named_exists() -> None:
    missing = [str(path) for path in README.links() if not path.exists()]
    missing += [name for name in README.files() if not (ROOT / name).exists()]
    missing += sorted(set(README.settings()) - setting_names())
    assert not missing


@pytest.mark.slow
def test_the_first_command_runs_at_a_toy_size(local_ray: None, tmp_path: Path, tiny_gpt2: Path) -> None:
    """As a newcomer gives it, from the root of a clone, with fewer questions and a tiny student.

    It joins the tests' Ray; `.ci/run` runs the quickstart in a Ray of its own.
    """
    import ray

    environment = os.environ | {"COLUMNS": "120", "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    job = FIRST[0].partition("&& python ")[2].split()
    toy = [*TOY_SIZE.split(), "--students.models", str(tiny_gpt2), "--run_dir", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, *job, *toy], cwd=ROOT, env=environment, text=True, timeout=240,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout + done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert Store(str(tmp_path / "run")).read("results").num_rows == 4  # two methods, two splits

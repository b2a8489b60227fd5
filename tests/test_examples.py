"""The examples are true: each settings file is valid, and each example runs, at a toy size where it would take long."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import yaml

import raydistill
from raydistill import pipeline
from raydistill.runtime.store import Store

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SETTINGS = sorted(EXAMPLES.glob("*/settings.yaml"))


def example(name: str, **sections: Any) -> raydistill.Settings:
    """Return the settings of an example with some values replaced, section by section."""
    tree = yaml.safe_load((EXAMPLES / name / "settings.yaml").read_text(encoding="utf-8"))
    for section, values in sections.items():
        if isinstance(values, dict):
            tree[section] = tree.get(section, {}) | values
        else:
            tree[section] = values
    return raydistill.Settings.model_validate(tree)


def toy_students(model: Path) -> dict[str, Any]:
    """Return student settings that train in seconds."""
    return {"models": [str(model)], "max_steps": 2, "max_new_tokens": 8, "evaluate_untrained": False}


def accuracies(run_dir: Path) -> list[tuple[str, str, int]]:
    """Return (task, method, number of questions) of each result, all without an error."""
    results = Store(str(run_dir)).read("results").to_pylist()
    assert not [row["error"] for row in results if row["error"]]
    return [(row["task"], row["method"], row["n"]) for row in results]


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.parent.name)
def test_every_settings_file_is_valid_and_is_explained(path: Path) -> None:
    example(path.parent.name)
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    assert f"examples/{path.parent.name}/settings.yaml" in readme
    assert path.parent.name in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("local_ray")
def test_own_questions(tmp_path: Path, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the settings name the file from there
    settings = example("own_questions", run_dir=str(tmp_path), local=True, students=toy_students(tiny_gpt2))
    pipeline.run(settings)
    questions = Store(str(tmp_path)).read("questions")
    assert pc.sum(pc.equal(questions["split"], "train")).as_py() == 36
    assert accuracies(tmp_path) == [("city_letters", method, 12) for method in ("vanilla", "fine_tune_cot")]


@pytest.mark.usefixtures("local_ray")
def test_own_exemplars(tmp_path: Path, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = example(
        "own_exemplars",
        run_dir=str(tmp_path),
        local=True,
        questions={"limit_train": 12, "limit_test": 6},
        students=toy_students(tiny_gpt2),
    )
    pipeline.run(settings)
    exemplars = Store(str(tmp_path)).read("exemplars")
    written = (EXAMPLES / "own_exemplars" / "exemplars.jsonl").read_text(encoding="utf-8")
    assert exemplars.num_rows == written.count("\n")
    assert accuracies(tmp_path) == [("coin_flip", "new_fine_tune_cot", 6)]


@pytest.mark.usefixtures("local_ray")
def test_from_python(tmp_path: Path, tiny_gpt2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = runpy.run_path(str(EXAMPLES / "api.py"))
    api["main"](run_dir=str(tmp_path), model=str(tiny_gpt2), n_train=24)
    printed = capsys.readouterr().out
    assert "candidates" in printed
    assert {method for _, method, _ in accuracies(tmp_path)} == {"untrained", "vanilla", "fine_tune_cot"}


@pytest.mark.parametrize("name", ["vllm_teacher", "cluster"])
def test_an_estimate_needs_no_server_and_no_cluster(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    pipeline.estimate(example(name))
    printed = capsys.readouterr().out
    assert "zero_shot" in printed
    assert "few_shot" in printed

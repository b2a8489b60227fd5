"""A run's id: what it has bought is its own, also when its directory has another name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.teacher_stage import KEY, prompt_table, run, settings_for

from raydistill import simulated
from raydistill.config import SimulatedSettings
from raydistill.runtime import run_id
from raydistill.runtime.errors import BudgetReached, UserError
from raydistill.runtime.store import Store
from raydistill.teacher import journal
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.stage_limits import stage_limits


def test_an_id_is_made_once_and_moves_with_the_directory(tmp_path: Path) -> None:
    first = run_id.load(Store(str(tmp_path / "a")))
    assert first.names == {first.id, str(tmp_path / "a")}  # earlier versions labelled what it bought with its path
    (tmp_path / "a").rename(tmp_path / "b")
    assert run_id.load(Store(str(tmp_path / "b"))) == first
    assert run_id.load(Store(str(tmp_path / "a"))).id != first.id
    uri = Store("mock:///run")
    assert run_id.load(uri) == run_id.load(uri)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 1, "paths": []}', '{"id": "x"}'])
def test_a_damaged_id_is_named_and_nothing_is_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json in the run directory") as caught:
        run_id.load(Store(str(tmp_path)))
    assert "Delete it" in caught.value.hint


@pytest.mark.usefixtures("local_ray")
def test_a_renamed_directory_keeps_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE_KEY", KEY)
    with simulated.serve(SimulatedSettings(latency_s=0.01), api_key=KEY) as server:
        with pytest.raises(BudgetReached):
            run("zero_shot", prompt_table(60), settings_for(server, tmp_path / "a", budget_tokens=4000))
        stats = server.stats()
        bought = stats["prompt_tokens"] + stats["completion_tokens"]
        assert 3000 < bought <= 4000
        (tmp_path / "a").rename(tmp_path / "b")
        renamed = settings_for(server, tmp_path / "b", budget_tokens=4000)
        with pytest.raises(BudgetReached):
            run("zero_shot", prompt_table(60), renamed)
        stats = server.stats()
        assert stats["prompt_tokens"] + stats["completion_tokens"] <= 4000
        folder = journal.Folder(str(tmp_path / "b" / "journal"))
        label = run_id.load(Store(str(tmp_path / "b"))).id
        assert {entry["run"] for entry in scan(folder)} == {label}
        other = run_id.load(Store(str(tmp_path / "a")))  # a new run under the old name starts with nothing spent
        assert stage_limits(renamed.teacher, folder, other.names, "zero_shot").tokens == 4000
    assert json.loads((tmp_path / "b" / "run.json").read_text())["paths"] == [str(tmp_path / "a")]

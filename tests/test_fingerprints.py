"""What makes a teacher stage run again: what its answers depend on, not what they cost or how fast they come."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raydistill.config import Settings
from raydistill.run_context import RunContext
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store, fingerprint
from raydistill.tables import PROMPTS

PRICE = {"input": 1.0, "output": 2.0}


class Runs:
    """Runs of one stage in one directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made = 0

    def again(self, **teacher: Any) -> int:
        """Run the stage with these settings of the teacher; return how often it was made so far."""
        with ExitStack() as stack:
            settings = Settings.model_validate({"run_dir": str(self.place), "teacher": teacher})
            run = RunContext(settings, Store(str(self.place)), Progress(io.StringIO()), stack)
            run.stage("zero_shot", [PROMPTS.empty_table(), run.teacher_settings], self._make)
        return self.made

    def _make(self) -> pa.Table:
        self.made += 1
        return pa.table({"row": [self.made]})


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_price_re_runs_nothing(runs: Runs) -> None:
    assert runs.again(kind="api") == 1
    for price in (PRICE, {**PRICE, "cached_input": 0.1}, None):
        assert runs.again(kind="api", price=price) == 1


def test_what_says_how_and_how_fast_re_runs_nothing(runs: Runs) -> None:
    runs.again(kind="simulated")
    how = {"timeout": 7, "max_concurrency": 3, "max_attempts": 2, "budget_usd": 5.0, "transport": "batch"}
    assert runs.again(kind="simulated", simulated={"latency_s": 1.0, "fault_fraction": 0.1}, **how) == 1


@pytest.mark.parametrize("kind", ["api", "simulated", "local"])
def test_a_section_counts_for_its_own_kind_of_teacher(runs: Runs, kind: str) -> None:
    runs.again(kind=kind)
    made = runs.again(kind=kind, simulated={"zero_shot_accuracy": 0.5})
    assert made == (2 if kind == "simulated" else 1)
    runs.again(kind=kind)
    before = runs.made
    assert runs.again(kind=kind, local={"context_tokens": 1024}) - before == (1 if kind == "local" else 0)


def test_what_answers_depend_on_re_runs_the_stage(runs: Runs) -> None:
    runs.again(kind="api")
    assert runs.again(kind="api", model="another") == 2
    assert runs.again(kind="api", model="another", temperature=1.0) == 3


@pytest.mark.parametrize(
    ("teacher", "recorded"),
    [
        ({}, "1cae61180e4d8e88607e5c13f2f9090dd2928cf5b94b6776ec56f6fd79b906e3"),
        ({"kind": "api"}, "3ae900ceaca31204b71b04ba6d6a5b9eed2b0c4d51fc246d9ec35e9b9f0c83df"),
        (
            {"kind": "simulated", "simulated": {"few_shot_accuracy": 0.5}},
            "860472d2dba178da9c42245a91f4c07fa1ce68cc1476c17633e9bfcae1f0dc13",
        ),
    ],
)
def test_what_version_0_2_0_finished_stays_finished(tmp_path: Path, teacher: dict[str, Any], recorded: str) -> None:
    settings = Settings.model_validate({"run_dir": str(tmp_path), "teacher": teacher})
    with ExitStack() as stack:
        run = RunContext(settings, Store(str(tmp_path)), Progress(io.StringIO()), stack)
        assert fingerprint("zero_shot", 1, run.teacher_settings) == recorded

"""What a person sees while a run works."""

from __future__ import annotations

import io
import time

import pytest

from raydistill.runtime import progress
from raydistill.runtime.progress import Progress


def test_a_log_gets_plain_lines_now_and_then_and_one_sentence_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    out = io.StringIO()
    with Progress(out).stage("few_shot", 200) as stage:
        stage.started -= 10
        stage.update(50, calls=60, usd=0.0123, failed=None)
        stage.finish("200 samples")
    first, last = out.getvalue().splitlines()
    assert first.split() == "few_shot 50/200 questions · 5.0/s · calls 60 · usd $0.0123 · 30 s left".split()
    assert last.startswith("few_shot     200 samples  [10 s]")
    assert "\x1b" not in out.getvalue()


def test_time_left_counts_the_long_one_in_work() -> None:
    shown = Progress(io.StringIO())
    with shown.stage("students", 2, "trials") as stage:
        stage.started = time.monotonic() - 100
        stage.update(1, part=0.5, step="30/60")
        assert "33 s left" in stage.line()
        stage.update(2)
        assert "left" not in stage.line()


def test_the_line_stays_when_the_stage_fails() -> None:
    out = io.StringIO()
    try:
        with Progress(out).stage("zero_shot", 9) as stage:
            stage.update(4)
            raise OSError
    except OSError:
        pass
    assert "stopped at 4 of 9 questions" in out.getvalue()

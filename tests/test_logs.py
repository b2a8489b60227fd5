"""The log file of a run, and what `raydistill.run` returns."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pyarrow as pa
import pytest

from raydistill.runtime import run_log
from raydistill.runtime.progress import Progress
from raydistill.runtime.result import RunResult
from raydistill.runtime.store import Store


@pytest.fixture(params=["local", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A run directory; pyarrow's mock file system stands for an object store: it is not local."""
    return Store(str(tmp_path / "run") if request.param == "local" else "mock:///run")


def test_the_log_has_what_loggers_and_progress_say_and_is_continued(store: Store) -> None:
    log = logging.getLogger("raydistill.exemplars.kmeans")
    for round_number in (1, 2):
        with run_log.attach(store):
            log.info("%s rows in %s clusters", 120, round_number)
            log.debug("not this")
            with Progress(io.StringIO()).stage("few_shot", 9) as stage:
                stage.finish("9 samples")
    log.info("after the run")
    text = store.read_text(run_log.LOG_FILE) or ""
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("Z INFO raydistill.exemplars.kmeans: 120 rows in 1 clusters")
    assert "INFO raydistill.runtime.progress: few_shot     9 samples" in lines[1]
    assert lines[2].endswith("in 2 clusters")


def test_how_a_run_ended_is_logged(store: Store) -> None:
    with pytest.raises(OSError, match="gone"), run_log.attach(store):
        raise OSError("the disk is gone")
    assert "INFO raydistill: ended with OSError: the disk is gone" in (store.read_text(run_log.LOG_FILE) or "")
    assert not logging.getLogger("raydistill").handlers


def test_warnings_are_seen_too(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with run_log.attach(store):
        logging.getLogger("raydistill.tasks").info("quiet")
        logging.getLogger("raydistill.tasks").warning("3 repeated questions left out")
    assert capsys.readouterr().err == "3 repeated questions left out\n"


def test_a_result_shows_its_report_and_reads_its_tables(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    result = RunResult(str(tmp_path), f"{tmp_path}/report.html")
    assert list(result.tables) == []
    assert f"{tmp_path}/report.html" in result._repr_html_()
    row = {"task": "coin_flip", "split": "test", "student": "<gpt2>", "method": "vanilla", "degree": 1, "n": 4}
    store.write("results", pa.Table.from_pylist([row | {"accuracy": 0.75, "other": 1}]), "key")
    store.write("questions", pa.table({"question": ["why?"]}), "key")
    assert sorted(result.tables) == ["questions", "results"]
    assert result.tables["questions"].to_pylist() == [{"question": "why?"}]
    with pytest.raises(KeyError):
        result.tables["training"]
    html = result._repr_html_()
    assert "75.0 %" in html
    assert "&lt;gpt2&gt;" in html
    assert str(tmp_path) in str(result)


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / run_log.LOG_FILE).mkdir()
    with run_log.attach(Store(str(tmp_path))):
        logging.getLogger("raydistill").info("a line")
    assert capsys.readouterr().err == ""

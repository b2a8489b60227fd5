"""The search: points, what a killed one keeps, ASHA and Optuna on a real local Ray with its dashboard."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.students import settings, tables, train

from raydistill.cli import tune
from raydistill.config import SearchSettings, Settings
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import search, search_space

JOB = Path(__file__).resolve().parents[1] / "jobs" / "tune_students.py"


pytestmark = pytest.mark.usefixtures("one_thread")


def tuned(config: Settings, **options: Any) -> Settings:
    students = config.students.model_copy(
        update={"checkpoint_selection": "validation", "validation_fraction": 0.25, "seeds": [0, 1]}
    )
    return config.model_copy(update={"students": students, "search": SearchSettings(**options)})


def run(config: Settings) -> list[search.SearchRow]:
    questions, training = tables(methods=("vanilla",))
    return search.search(questions, training, config, Store(config.run_path), Progress(io.StringIO()))


def test_points_of_grid_and_random() -> None:
    grid = search_space.points(SearchSettings(learning_rates=[1e-4, 1e-3], per_device_train_batch_sizes=[2, 8]))
    assert [tuple(p) for p in grid] == [(1e-4, 2), (1e-4, 8), (1e-3, 2), (1e-3, 8)]
    random = search_space.points(SearchSettings(algorithm="random", num_samples=40))
    assert random == search_space.points(SearchSettings(algorithm="random", num_samples=40))
    assert random[:7] == search_space.points(
        SearchSettings(algorithm="random", num_samples=7)
    )  # more trials keep the first
    assert all(1e-5 <= p.learning_rate <= 3e-3 for p in random)
    assert len({p.per_device_train_batch_size for p in random}) > 2


def test_the_best_point_comes_first_and_finished_ones_are_kept(tmp_path: Path, tiny_t5: Path) -> None:
    """A rate that cannot learn comes last; a larger search trains only what is new."""
    config = settings(tmp_path, tiny_t5, methods=["vanilla"], num_train_epochs=4)
    small = tuned(config, learning_rates=[1e-12, 1e-2], per_device_train_batch_sizes=[4])
    found = run(small)
    assert (found[0].validation_loss or 0) < (found[1].validation_loss or 0)
    written = {p: p.stat().st_mtime_ns for p in Path(tmp_path, "students").glob("*/metrics.json")}
    assert len(written) == 2  # the first seed only
    more = run(tuned(config, learning_rates=[1e-12, 1e-2], per_device_train_batch_sizes=[4, 8]))
    assert len(more) == 4
    assert all(p.stat().st_mtime_ns == then for p, then in written.items())
    assert {r.trial for r in found} < {r.trial for r in more}


def test_failures_of_points_are_rows(tmp_path: Path, tiny_gpt2: Path) -> None:
    found = run(
        tuned(
            settings(tmp_path, tiny_gpt2, methods=["vanilla"]),
            learning_rates=[1e30, 1e-3],
            per_device_train_batch_sizes=[8],
        )
    )
    assert [r.error == "" for r in found] == [True, False]
    assert "students.learning_rate" in found[1].error


def test_a_search_needs_validation_questions(tmp_path: Path, tiny_gpt2: Path) -> None:
    with pytest.raises(SettingsError, match="validation"):
        run(settings(tmp_path, tiny_gpt2))


def interfered(run: Path) -> None:
    """Of the first trial to leave a checkpoint, the process around it is killed; the second is told to end."""
    seen: list[Path] = []
    deadline = time.monotonic() + 120
    while len(seen) < 2 and time.monotonic() < deadline:
        for checkpoint in Path(run, "students").glob("*/ray/checkpoint_*"):
            folder = checkpoint.parents[1]
            if not seen:
                _kill("ImplicitFunc")
            elif folder not in seen:
                (folder / "stop").touch()
            else:
                continue
            seen.append(folder)
        time.sleep(0.02)
    assert len(seen) == 2, "no second training was found"


def _kill(name: str) -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # gone meanwhile
            if name in " ".join(process.cmdline()):
                process.kill()


@pytest.mark.slow
def test_two_workers_end_when_told_and_what_ray_breaks_is_a_row(
    local_ray: None, tmp_path: Path, tiny_gpt2: Path
) -> None:
    """There is room for one trial: the second has it from the first, whose driver died."""
    config = settings(
        tmp_path,
        tiny_gpt2,
        methods=["vanilla"],
        num_train_epochs=60,
        local=False,
        per_device_train_batch_size=4,
        num_workers=2,
        cpus_per_worker=1,
    )
    wanted = tuned(config, learning_rates=[1e-3, 1e-2], per_device_train_batch_sizes=[4])
    with ThreadPoolExecutor(1) as beside:
        meanwhile = beside.submit(interfered, tmp_path)
        found = run(wanted)
        meanwhile.result()
    (told,) = (row for row in found if row.stopped)
    (broken,) = (row for row in found if not row.stopped)
    assert told.error == ""
    assert 1 <= (told.epoch or 0) < 60
    assert "Ray ended this trial" in broken.error
    after = run(wanted.model_copy(update={"local": True}))
    assert [row.error for row in after] == ["", ""]
    assert [row for row in after if row.stopped] == [told]


@pytest.mark.slow
def test_the_job_searches_with_asha(
    local_ray: None, tmp_path: Path, tiny_gpt2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself, in a Ray of its own beside another: one point ends, one falls behind, one diverges.

    There is one CPU: each has it from the one before, the last from one that was told to stop in the middle.
    """
    config = settings(tmp_path, tiny_gpt2, methods=["vanilla"], num_train_epochs=60, learning_rate=1e-2)
    questions, training = tables(methods=("vanilla",))
    (able,), _ = train(config, questions, training)
    store = Store(str(tmp_path / "search"))
    store.write("questions", questions, "test")
    store.write("training", training, "test")
    options = ["--run_dir", str(store.path), "--students.models", able["checkpoint"], "--students.methods", "vanilla"]
    options += ["--students.num_train_epochs", "20", "--students.lr_scheduler_type", "constant"]
    options += ["--students.validation_fraction", "0.25", "--students.evaluate_untrained", "false"]
    options += ["--ray.num_cpus", "1", "--search.per_device_train_batch_sizes", "[8]", "--search.learning_rates"]
    command = [sys.executable, str(JOB), *options, "[1.0e-12, 0.3, 1.0e+30]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "students:\n  learning_rate: 1e-12\n  per_device_train_batch_size: 8\n  num_train_epochs: " in done.stdout
    left = {name: [*Path(store.path).glob(f"students/*/{name}")] for name in ("metrics.json", "stopped.json")}
    assert {name: len(found) for name, found in left.items()} == {"metrics.json": 1, "stopped.json": 1}, done.stdout
    assert len(json.loads(left["stopped.json"][0].read_text())["epochs"]) < 20
    assert "became nan in epoch 1" in " ".join(done.stdout.split())

    tune.main([*options, "[1.0e-12, 0.3]", "--local"])
    again = capsys.readouterr()
    assert "2 trials" in again.err
    assert "stopped" in again.out  # and not trained to its end

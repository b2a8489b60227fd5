"""The grid: trials trained, kept, skipped, failed alone; the same weights in process, on one worker and on two."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from support.students import answer, settings, tables, train
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

from raydistill.runtime import ray_internals
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.store import Store
from raydistill.students import grid, model_folders

pytestmark = pytest.mark.usefixtures("one_thread")


def losses(row: dict) -> list[float]:
    return [e["train_loss"] for e in row["epochs"]]


def test_t5_and_gpt2_over_tasks_methods_and_seeds(tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path) -> None:
    questions, training = tables(tasks=("coin_flip", "last_letter_concatenation"))
    config = settings(tmp_path, tiny_gpt2, tiny_t5, seeds=[0, 1], evaluate_untrained=True, max_steps=2)
    rows, shown = train(config, questions, training)
    assert len(rows) == 2 * 2 * 2 * 2 + 4
    assert [r["error"] for r in rows] == [""] * 20
    assert len({r["trial"] for r in rows}) == 20
    assert "16 trained" in shown
    for row in rows:
        kind = AutoModelForSeq2SeqLM if "t5" in row["student"] else AutoModelForCausalLM
        kind.from_pretrained(row["checkpoint"])
        if row["method"] == "untrained":
            assert (row["degree"], row["steps"], row["checkpoint"]) == (0, 0, row["student"])
            continue
        AutoTokenizer.from_pretrained(row["checkpoint"])
        GenerationConfig.from_pretrained(row["checkpoint"])
        assert (row["train_rows"], row["steps"]) == (16, 2)
        assert row["train_tokens"] > 16 * 10
        assert not list(Path(row["checkpoint"]).parent.glob("work"))

    predictions, _ = answer(config, questions, rows)
    tests = questions.filter(pc.field("split") == "test")
    assert predictions.num_rows == 20 * tests.num_rows // 2
    assert set(zip(predictions["task"].to_pylist(), predictions["trial"].to_pylist(), strict=True)) == {
        (r["task"], r["trial"]) for r in rows
    }
    assert all(0 <= c <= 1 for c in predictions["confidence"].to_pylist())
    assert max(predictions["tokens"].to_pylist()) <= 12


def test_a_student_learns_and_its_answers_say_so(tmp_path: Path, tiny_t5: Path) -> None:
    """Trained to answer "yes" to everything, it does: prompt, training, checkpoint and judge belong together."""
    questions, training = tables(methods=("vanilla",))
    training = training.set_column(training.column_names.index("answer"), "answer", pa.array(["yes"] * len(training)))
    config = settings(tmp_path, tiny_t5, methods=["vanilla"], num_train_epochs=12, learning_rate=1e-2)
    rows, _ = train(config, questions, training)
    assert losses(rows[0])[-1] < losses(rows[0])[0] / 4
    predictions, _ = answer(config, questions, rows)
    assert set(predictions["prediction"].to_pylist()) == {"yes"}
    readme = Path(rows[0]["checkpoint"], "README.md").read_text()
    assert "method `vanilla`" in readme
    assert f"| test | 8 | {100 * pc.mean(predictions['correct'].cast(pa.float64())).as_py():.1f} %" in readme
    gold = dict(zip(questions["question_id"].to_pylist(), questions["answer"].to_pylist(), strict=True))
    assert predictions["correct"].to_pylist() == [gold[i] == "yes" for i in predictions["question_id"].to_pylist()]
    assert predictions["stopped_at_eos"].to_pylist() == predictions["has_answer_marker"].to_pylist() == [True] * 8


def test_students_trained_in_bf16_are_saved_so_and_answer_alike(tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path) -> None:
    """Half the size, and not one answer or probability differs, whether the last epoch or the best one is kept."""
    questions, training = tables(methods=("new_fine_tune_cot",))
    ways: list[dict[str, Any]] = [{}, {"validation_fraction": 0.25, "checkpoint_selection": "validation"}]
    answers: dict[str, list[pa.Table]] = {}
    sizes: dict[str, list[int]] = {}
    for saved in ("as_trained", "fp32"):
        for way in ways:
            config = settings(
                tmp_path,
                tiny_gpt2,
                tiny_t5,
                methods=["new_fine_tune_cot"],
                precision="bf16",
                save_precision=saved,
                **way,
            )
            rows, _ = train(config, questions, training)
            predictions, _ = answer(config, questions, rows)
            by_student = {r["trial"]: r["student"] for r in rows}
            table = predictions.drop_columns(["trial"]).add_column(
                0, "student", pa.array([by_student[t] for t in predictions["trial"].to_pylist()])
            )
            answers.setdefault(saved, []).append(
                table.sort_by([("student", "ascending"), ("question_id", "ascending")])
            )
            sizes.setdefault(saved, []).extend(Path(r["checkpoint"], "model.safetensors").stat().st_size for r in rows)
    assert all(a.equals(b) for a, b in zip(answers["as_trained"], answers["fp32"], strict=True))
    assert all(half < 0.6 * whole for half, whole in zip(sizes["as_trained"], sizes["fp32"], strict=True))


def test_finished_trials_and_answers_are_kept_whatever_else_changes(tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables()
    config = settings(tmp_path, tiny_gpt2, methods=["vanilla"])
    first, _ = train(config, questions, training)
    answer(config, questions, first)
    written = Path(first[0]["checkpoint"], "model.safetensors").stat().st_mtime_ns

    more = settings(
        tmp_path, tiny_gpt2, methods=["vanilla", "new_fine_tune_cot"], max_concurrent_trials=3, num_workers=0
    )
    second, shown = train(more, questions, training)
    assert "1 trained, 1 were finished before" in shown
    assert [r for r in second if r["method"] == "vanilla"] == first
    assert Path(first[0]["checkpoint"], "model.safetensors").stat().st_mtime_ns == written
    _, shown = answer(more, questions, second)
    assert "1 students answered before" in shown

    other = training.set_column(training.column_names.index("answer"), "answer", pa.array(["no"] * len(training)))
    third, _ = train(more, questions, other)
    assert not {r["trial"] for r in third} & {r["trial"] for r in second}
    slower, _ = train(settings(tmp_path, tiny_gpt2, methods=["vanilla"], learning_rate=1e-4), questions, training)
    assert slower[0]["trial"] != first[0]["trial"]


def test_vanilla_has_one_degree_and_the_others_each(tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables(degrees=(1, 3))
    rows, _ = train(settings(tmp_path, tiny_gpt2, degrees=[3, 1], max_steps=1), questions, training)
    assert [(r["method"], r["degree"], r["train_rows"]) for r in rows] == [
        ("new_fine_tune_cot", 1, 16),
        ("new_fine_tune_cot", 3, 48),
        ("vanilla", 1, 16),
    ]


def test_trials_fail_alone_and_say_why(tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables()
    dropped = training.set_column(training.column_names.index("kept"), "kept", pc.equal(training["method"], "vanilla"))
    reasons = pa.array(["" if k else "wrong_answer" for k in dropped["kept"].to_pylist()])
    dropped = dropped.set_column(dropped.column_names.index("reason"), "reason", reasons)
    rows, shown = train(settings(tmp_path, tiny_gpt2, "nobody/nothing", max_steps=1), questions, dropped)
    by = {(r["student"], r["method"]): r["error"] for r in rows}
    assert by[str(tiny_gpt2), "vanilla"] == ""
    assert "No training row was kept" in by[str(tiny_gpt2), "new_fine_tune_cot"]
    assert "16 × wrong_answer" in by[str(tiny_gpt2), "new_fine_tune_cot"]
    assert "nobody/nothing cannot be opened" in by["nobody/nothing", "vanilla"]
    assert "3 failed" in shown
    predictions, _ = answer(settings(tmp_path, tiny_gpt2), questions, rows)
    assert len(set(predictions["trial"].to_pylist())) == 1

    # The same trial is tried again by the next command, and its failure is forgotten when it succeeds.
    rows, _ = train(settings(tmp_path, tiny_gpt2, max_steps=1), questions, training)
    assert [r["error"] for r in rows] == ["", ""]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "The loss became nan at step 2"),
        ({"max_steps": 1, "validation_fraction": 0.25}, "The loss on validation questions became nan in epoch 1"),
        ({"max_steps": 1}, "The weights are not finite after the last step"),
    ],
)
def test_a_loss_that_is_no_number_is_named(tmp_path: Path, tiny_gpt2: Path, more: dict[str, Any], said: str) -> None:
    """Whenever it happens; a decay of 1e40 leaves no finite weight after one step."""
    questions, training = tables(methods=("vanilla",))
    config = settings(tmp_path, tiny_gpt2, methods=["vanilla"], learning_rate=1e30, weight_decay=1e10, **more)
    (row,), _ = train(config, questions, training)
    assert said in row["error"]
    assert "students.learning_rate" in row["error"]
    assert not list(Path(tmp_path, "students").glob("*/model"))


def test_rows_longer_than_the_model_are_named(tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables()
    long = pa.array(["so " * 600 if m != "vanilla" else "" for m in training["method"].to_pylist()])
    training = training.set_column(training.column_names.index("rationale"), "rationale", long)
    rows, _ = train(settings(tmp_path, tiny_gpt2, max_steps=1), questions, training)
    cot, vanilla = rows
    assert vanilla["error"] == ""
    assert "coin_flip-00" in cot["error"]
    assert "512" in cot["error"]


def test_the_epoch_is_chosen_by_validation_or_by_test(tmp_path: Path, tiny_t5: Path) -> None:
    questions, training = tables(methods=("new_fine_tune_cot",), degrees=(2,))
    common: dict[str, Any] = {"methods": ["new_fine_tune_cot"], "degrees": [2], "num_train_epochs": 3}
    rows, _ = train(
        settings(tmp_path, tiny_t5, **common, validation_fraction=0.25, checkpoint_selection="validation"),
        questions,
        training,
    )
    (row,) = rows
    assert row["train_rows"] == 24  # both samples of a question go the same way
    for epoch in row["epochs"]:
        assert epoch["validation_loss"] > 0
        assert 0 <= epoch["validation_accuracy"] <= 1
        assert epoch["test_accuracy"] is None
    rows, _ = train(
        settings(tmp_path, tiny_t5, **common, evaluate_every_epoch=True, checkpoint_selection="best_on_test"),
        questions,
        training,
    )
    predictions, _ = answer(settings(tmp_path, tiny_t5, **common), questions, rows)
    best = max(e["test_accuracy"] for e in rows[0]["epochs"])
    assert pc.mean(predictions["correct"].cast(pa.float64())).as_py() == pytest.approx(best)


def test_an_epoch_cannot_be_chosen_by_questions_that_are_not_there(tmp_path: Path, tiny_gpt2: Path) -> None:
    """A task of one train question has none to keep out, and one without test questions none to judge by."""
    questions, training = tables(tasks=("coin_flip", "last_letter_concatenation"), methods=("vanilla",))
    few = pc.or_(pc.equal(questions["task"], "coin_flip"), pc.equal(questions["source_row"], 0))
    training = training.filter(pc.is_in(training["question_id"], questions.filter(few)["question_id"]))
    ways: list[tuple[dict[str, Any], str]] = [
        ({"checkpoint_selection": "validation", "validation_fraction": 0.25}, "students.validation_fraction"),
        (
            {"checkpoint_selection": "best_on_test", "evaluate_every_epoch": True},
            "students.checkpoint_selection to last",
        ),
    ]
    for chosen, setting in ways:
        config = settings(tmp_path, tiny_gpt2, methods=["vanilla"], max_steps=1, **chosen)
        well, badly = train(config, questions.filter(few), training)[0]
        assert well["error"] == ""
        selection = f"students.checkpoint_selection {chosen['checkpoint_selection']}"
        assert f"{selection} has no questions of last_letter_concatenation" in badly["error"]
        assert setting in badly["error"]


def test_validation_is_the_same_for_methods_whatever_the_teacher_got_right(tmp_path: Path, tiny_gpt2: Path) -> None:
    """Drawn from all train questions: those without a kept text count, and none of them is trained on."""
    questions, training = tables()
    kept = [
        m == "vanilla" or int(i[-2:]) % 2 == 0
        for m, i in zip(*(training[n].to_pylist() for n in ("method", "question_id")), strict=True)
    ]
    training = training.set_column(training.column_names.index("kept"), "kept", pa.array(kept))
    config = settings(tmp_path, tiny_gpt2, validation_fraction=0.25, checkpoint_selection="validation", seeds=[0, 1, 2])
    trials, _ = grid.plan(questions, training, config, Store(config.run_path))
    assert len(trials) == 6
    drawn = {(t.method, t.seed): set(t.validation["question_id"].to_pylist()) for t in trials}
    assert all(drawn["vanilla", seed] == drawn["new_fine_tune_cot", seed] for seed in (0, 1, 2))
    assert len({frozenset(ids) for ids in drawn.values()}) > 1
    odd = {i for ids in drawn.values() for i in ids if int(i[-2:]) % 2}
    assert odd, "no question that the teacher got wrong is among them"
    for trial in trials:
        assert trial.validation.num_rows == 4
        ids = {n: set(getattr(trial, n)["question_id"].to_pylist()) for n in ("rows", "held_out", "validation")}
        assert ids["held_out"] <= ids["validation"]
        assert not ids["rows"] & ids["validation"]


def test_a_model_replaced_in_place_is_another_student(tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables(methods=("vanilla",))
    model = Path(shutil.copytree(tiny_gpt2, tmp_path / "model"))
    config = settings(tmp_path / "run", model, methods=["vanilla"], max_steps=1, evaluate_untrained=True)
    first, _ = train(config, questions, training)
    weights = model / "model.safetensors"
    size = weights.stat().st_size
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(AutoModelForCausalLM.from_pretrained(model).config).save_pretrained(model)
    assert weights.stat().st_size == size
    second, shown = train(config, questions, training)
    assert "1 trained" in shown
    assert not {r["trial"] for r in first} & {r["trial"] for r in second}
    shutil.copytree(model, tmp_path / "elsewhere")  # a place is not what a student is
    third, _ = train(
        settings(tmp_path / "run", tmp_path / "elsewhere", methods=["vanilla"], max_steps=1), questions, training
    )
    assert {r["trial"] for r in third} < {r["trial"] for r in second}


def test_a_student_that_cannot_be_opened_answers_nothing_and_the_others_go_on(
    tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path
) -> None:
    questions, training = tables(methods=("vanilla",))
    config = settings(tmp_path, tiny_gpt2, tiny_t5, methods=["vanilla"], max_steps=1)
    rows, _ = train(config, questions, training)
    torn = Path(rows[0]["checkpoint"], "model.safetensors")
    torn.write_bytes(torn.read_bytes()[:-1000])
    predictions, _ = answer(config, questions, rows)
    assert set(predictions["trial"].to_pylist()) == {rows[1]["trial"]}
    assert predictions.num_rows == 8


def test_a_base_model_that_is_torn_fails_alone(tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path) -> None:
    model = Path(shutil.copytree(tiny_gpt2, tmp_path / "torn"))
    (model / "model.safetensors").write_bytes(b"not what it was")
    questions, training = tables(methods=("vanilla",))
    rows, _ = train(settings(tmp_path / "run", model, tiny_t5, methods=["vanilla"], max_steps=1), questions, training)
    errors = {Path(r["student"]).name: r["error"] for r in rows}
    assert f"The student {model} cannot be opened" in errors["torn"]
    assert errors["t5"] == ""


def test_a_folder_behind_a_uri_is_fetched_once_by_all_who_want_it(
    tmp_path: Path, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    start = threading.Barrier(8)

    def fetch(_: int) -> str:
        start.wait()
        return model_folders.fetch(tiny_gpt2.as_uri())

    with ThreadPoolExecutor(8) as pool:
        (place,) = set(pool.map(fetch, range(8)))
    assert {p.name: p.read_bytes() for p in Path(place).iterdir()} == {
        p.name: p.read_bytes() for p in tiny_gpt2.iterdir()
    }
    assert list(Path(place).parent.iterdir()) == [Path(place)]


def scalars(folder: Path) -> dict[str, list[float]]:
    """What TensorBoard would draw: event files are records of length, check, event, check."""
    from tensorboardX.proto.event_pb2 import Event

    drawn: dict[str, list[float]] = {}
    for file in folder.glob("events.out.tfevents.*"):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            for value in Event.FromString(data[12 : 12 + size]).summary.value:
                drawn.setdefault(value.tag, []).append(value.simple_value)
            data = data[16 + size :]
    return drawn


def test_tensorboard_gets_the_curves_of_each_trial(tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables(methods=("vanilla",))
    common: dict[str, Any] = {
        "methods": ["vanilla"],
        "validation_fraction": 0.25,
        "checkpoint_selection": "validation",
        "seeds": [0, 1],
    }
    rows, _ = train(settings(tmp_path, tiny_gpt2, **common, report_to=["tensorboard"]), questions, training)
    for row in rows:
        drawn = scalars(Path(row["checkpoint"]).with_name("tensorboard"))
        for tag, name in (("eval/loss", "validation_loss"), ("train/validation_accuracy", "validation_accuracy")):
            assert drawn[tag] == pytest.approx([e[name] for e in row["epochs"]], rel=1e-5)
        assert len(drawn["train/loss"]) == row["steps"]


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_trained(
    tmp_path: Path, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, training = tables(methods=("vanilla",))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: (name != "mlflow" and found(name, *more)) or None
    )
    with pytest.raises(SettingsError, match=r"students\.report_to mlflow.*\n.*pip install mlflow"):
        train(settings(tmp_path, tiny_gpt2, report_to=["mlflow"]), questions, training)
    assert not Path(tmp_path, "students").exists()


KILLED = """
import os, signal, sys
from raydistill.students.callbacks import TrainingCallback
whole = TrainingCallback.on_save
def on_save(self, args, state, control, **more):
    whole(self, args, state, control, **more)
    if len(self.history) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
TrainingCallback.on_save = on_save
from support import students as t
questions, training = t.tables(methods=("vanilla",))
t.train(t.settings(sys.argv[1], sys.argv[2], methods=["vanilla"], num_train_epochs=4), questions, training)
"""


def test_a_killed_training_goes_on_from_its_last_epoch(tmp_path: Path, tiny_gpt2: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    code = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(tiny_gpt2)], env=environment, capture_output=True
    )
    assert code.returncode == -signal.SIGKILL, code.stderr.decode()
    questions, training = tables(methods=("vanilla",))
    rows = {}
    for run in ("killed", "whole"):
        config = settings(tmp_path / run, tiny_gpt2, methods=["vanilla"], num_train_epochs=4)
        (rows[run],), _ = train(config, questions, training)
    assert [e["epoch"] for e in rows["killed"]["epochs"]] == [1, 2, 3, 4]
    assert losses(rows["killed"]) == pytest.approx(losses(rows["whole"]), rel=1e-4)


def without_dropout(folder: Path, copy: Path) -> Path:
    """Dropout draws by row, and two workers hold other rows than one."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config |= {name: 0.0 for name in config if "drop" in name}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@contextmanager
def one_worker_killed(run: Path) -> Iterator[None]:
    """Kills a training worker as soon as one has left a checkpoint; until then it keeps memory (jemalloc)."""
    killed: dict[int, str] = {}

    def kill_one() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not killed:
            if list(Path(run, "students").glob("*/ray/checkpoint_*")):
                workers = [p for p in psutil.process_iter(["name", "cmdline"]) if _is_train_worker(p)]
                for process in workers[:1]:
                    killed[process.pid] = " ".join(m.path for m in process.memory_maps())
                    process.kill()
            time.sleep(0.02)

    thread = threading.Thread(target=kill_one)
    thread.start()
    yield
    thread.join()
    assert killed, "no training worker was found to kill"
    assert all(("libjemalloc" in libraries) == bool(ray_internals.allocator()) for libraries in killed.values())


def _is_train_worker(process: psutil.Process) -> bool:
    return "RayTrainWorker" in " ".join(process.info["cmdline"] or [])


@pytest.mark.slow
def test_two_workers_learn_what_this_process_learns(local_ray: None, tmp_path: Path, tiny_gpt2: Path) -> None:
    """Two workers that share each step's rows (gloo), one lost on the way: losses are those of training in process."""
    questions, training = tables(methods=("new_fine_tune_cot",))
    model = without_dropout(tiny_gpt2, tmp_path / "student")
    common: dict[str, Any] = {"methods": ["new_fine_tune_cot"], "gradient_accumulation_steps": 2, "num_train_epochs": 6}
    here, _ = train(settings(tmp_path / "here", model, **common, per_device_train_batch_size=4), questions, training)
    config = settings(
        tmp_path / "ray", model, **common, local=False, per_device_train_batch_size=2, num_workers=2, cpus_per_worker=1
    )
    with one_worker_killed(tmp_path / "ray"):
        there, shown = train(config, questions, training)
    assert [r["error"] for r in there] == [""]
    assert "1 trained" in shown
    assert [e["epoch"] for e in there[0]["epochs"]] == [1, 2, 3, 4, 5, 6]
    assert losses(there[0]) == pytest.approx(losses(here[0]), rel=1e-4)
    metrics = json.loads(Path(there[0]["checkpoint"]).with_name("metrics.json").read_text())
    assert metrics["workers"] == 2
    assert sorted(p.name for p in Path(tmp_path, "ray", "students").iterdir()) == [there[0]["trial"]]
    assert sorted(p.name for p in Path(there[0]["checkpoint"]).parent.iterdir()) == ["metrics.json", "model"]

    by_ray, _ = answer(config, questions, there)
    by_hand, _ = answer(settings(tmp_path / "ray", model, **common, max_new_tokens=13), questions, there)
    assert by_ray.num_rows == 8
    assert by_ray["question_id"].equals(by_hand["question_id"])


@pytest.mark.slow
def test_two_workers_that_share_the_weights_learn_the_same(
    local_ray: None, tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path
) -> None:
    """FSDP (gloo), one worker lost on the way: losses, epochs judged and whole folders are those of this process."""
    questions, training = tables(methods=("new_fine_tune_cot",))
    models = [without_dropout(folder, tmp_path / name) for folder, name in ((tiny_gpt2, "gpt2"), (tiny_t5, "t5"))]
    common: dict[str, Any] = {
        "methods": ["new_fine_tune_cot"],
        "gradient_accumulation_steps": 2,
        "validation_fraction": 0.25,
        "checkpoint_selection": "validation",
    }
    here, _ = train(settings(tmp_path / "here", *models, **common, per_device_train_batch_size=4), questions, training)
    config = settings(
        tmp_path / "ray",
        *models,
        **common,
        local=False,
        per_device_train_batch_size=2,
        num_workers=2,
        cpus_per_worker=1,
        sharding="fsdp",
    )
    with one_worker_killed(tmp_path / "ray"):
        there, _ = train(config, questions, training)
    for ours, whole in zip(there, here, strict=True):
        assert ours["error"] == ""
        assert json.loads(Path(ours["checkpoint"]).with_name("metrics.json").read_text())["sharding"] == "fsdp"
        for name in ("train_loss", "validation_loss", "validation_accuracy"):
            assert [e[name] for e in ours["epochs"]] == pytest.approx([e[name] for e in whole["epochs"]], rel=1e-4)
        names = sorted(p.name for p in Path(whole["checkpoint"]).iterdir())
        assert sorted(p.name for p in Path(ours["checkpoint"]).iterdir()) == names
        kind = AutoModelForSeq2SeqLM if "t5" in ours["student"] else AutoModelForCausalLM
        shared, alone = (kind.from_pretrained(r["checkpoint"]).state_dict() for r in (ours, whole))
        assert all(torch.allclose(shared[n], alone[n], rtol=1e-2, atol=1e-4) for n in alone)


def test_too_few_cpus_are_named_at_once(local_ray: None, tmp_path: Path, tiny_gpt2: Path) -> None:
    questions, training = tables()
    config = settings(tmp_path, tiny_gpt2, local=False, num_workers=3, cpus_per_worker=1)
    with pytest.raises(SettingsError, match=r"students\.num_workers 3 × students\.cpus_per_worker 1"):
        train(config, questions, training)


def test_lora_students_are_plain_folders(tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path) -> None:
    pytest.importorskip("peft")
    questions, training = tables(methods=("vanilla",))
    config = settings(
        tmp_path, tiny_gpt2, tiny_t5, methods=["vanilla"], lora_rank=4, learning_rate=1e-2, num_train_epochs=4,
        validation_fraction=0.25, checkpoint_selection="validation",
    )  # fmt: skip
    rows, _ = train(config, questions, training)
    for row, base, kind in zip(rows, (tiny_gpt2, tiny_t5), (AutoModelForCausalLM, AutoModelForSeq2SeqLM), strict=True):
        assert row["error"] == ""
        assert losses(row)[-1] < losses(row)[0]
        taught, before = (kind.from_pretrained(folder).state_dict() for folder in (row["checkpoint"], base))
        assert taught.keys() == before.keys()
        changed = {name for name in before if not torch.equal(before[name], taught[name])}
        assert changed
        assert not any("norm" in n or "ln_" in n or "wte" in n or "shared" in n for n in changed)

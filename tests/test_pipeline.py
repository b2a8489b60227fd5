"""The whole pipeline, on a tiny configuration: real HTTP, a real local Ray, a real (tiny) student."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pytest
from support.runs import finished, tiny

from raydistill import pipeline, run_context, simulated, tables
from raydistill.cli import main as command
from raydistill.config import Settings
from raydistill.method import answers
from raydistill.runtime import ray_connection
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import grid
from raydistill.teacher import stage

ROOT = Path(__file__).resolve().parents[1]
JOB = str(ROOT / "jobs" / "full_pipeline.py")


@pytest.fixture(scope="module")
def done(local_ray, tmp_path_factory, tiny_gpt2):
    """One finished run with all four methods and two degrees."""
    settings = tiny(
        tmp_path_factory.mktemp("pipeline") / "run",
        tiny_gpt2,
        students={
            "methods": ["vanilla", "fine_tune_cot", "few_shot_unfiltered", "new_fine_tune_cot"],
            "degrees": [1, 2],
        },
    )
    result = pipeline.run(settings, Progress())
    assert result.tables["results"].num_rows > 0
    assert "<table>" in result._repr_html_()
    return settings, Store(settings.run_path), Path(result.report_path)


def test_every_stage_leaves_its_table_with_its_schema(done):
    _, store, _ = done
    for name in ("questions", "exemplars", "clusters", "training", "students", "predictions", "results", "ledger"):
        assert store.read(name).schema.equals(getattr(tables, name.upper())), name
    for name in ("zero_shot", "few_shot"):
        assert store.read(name).schema.equals(tables.SAMPLES)


def test_each_method_and_degree_is_asked_taught_and_judged(done):
    _, store, _ = done
    questions, results = store.read("questions"), store.read("results")
    splits = set(questions["split"].to_pylist())
    assert splits == {"train", "test", "test_unseen"}
    trials = {(r["method"], r["degree"]) for r in store.read("students").to_pylist()}
    rationales = {(m, d) for m in ("fine_tune_cot", "few_shot_unfiltered", "new_fine_tune_cot") for d in (1, 2)}
    assert trials == {("untrained", 0), ("vanilla", 1)} | rationales
    assert not any(results["error"].to_pylist())
    assert {(r["method"], r["degree"], r["split"]) for r in results.to_pylist()} == {
        (m, d, s) for m, d in trials for s in splits - {"train"}
    }
    for row in results.to_pylist():
        assert row["n"] == pc.sum(pc.equal(questions["split"], row["split"])).as_py()
        assert row["ci_low"] <= row["accuracy"] <= row["ci_high"]


def test_students_learn_from_right_answers_of_train_questions_alone(done):
    _, store, _ = done
    train = set(store.read("questions").filter(pc.field("split") == "train")["question_id"].to_pylist())
    samples = {
        (r["method"], r["degree"], r["question_id"], r["sample_index"]): r["correct"]
        for name in ("zero_shot", "few_shot")
        for r in store.read(name).to_pylist()
    }
    kept = store.read("training").filter(pc.field("kept")).to_pylist()
    assert kept
    for row in kept:
        assert row["question_id"] in train
        if row["method"] != "vanilla":
            assert samples[row["method"], row["degree"], row["question_id"], row["sample_index"]]


def test_the_adaptive_method_saves_calls_and_the_first_change_does_not(done):
    _, store, _ = done
    calls: dict[str, list[int]] = {}
    for row in store.read("few_shot").to_pylist():
        if row["degree"] == 1:
            calls.setdefault(row["method"], []).append(row["calls"])
    assert set(calls["few_shot_unfiltered"]) == {2}
    assert sum(calls["new_fine_tune_cot"]) < 1.5 * len(calls["new_fine_tune_cot"])


def test_the_student_folder_opens_and_the_page_is_self_contained(done):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, store, page = done
    folder = next(r["checkpoint"] for r in store.read("students").to_pylist() if r["method"] == "new_fine_tune_cot")
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(folder)("yes").input_ids
    text = page.read_text(encoding="utf-8")
    assert "simulated" in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]+\.(?:js|css|png|svg)', text)


def test_the_same_command_again_runs_nothing_and_asks_nothing(done, monkeypatch):
    settings, store, _ = done
    before = finished(store)
    monkeypatch.setattr(run_context, "open_endpoint", lambda *_: pytest.fail("the endpoint was opened"))
    monkeypatch.setattr(run_context.ray_connection, "connect", lambda **_: pytest.fail("Ray was asked for"))
    pipeline.run(settings)
    assert finished(store) == before


def test_a_hub_that_cannot_be_reached_costs_nothing(done, capsys):
    settings, store, _ = done
    before = finished(store)
    students = settings.students.model_copy(update={"push_to_hub": "someone"})
    result = pipeline.run(settings.model_copy(update={"students": students}))
    assert Path(result.report_path).exists()
    assert finished(store) == before
    said = capsys.readouterr().err
    assert said.count("was not uploaded: OfflineModeIsEnabled") == 7  # vanilla, and three methods with two degrees
    assert "7 failed: run the same command again" in said


def test_changed_settings_run_again_what_depends_on_them_alone(done, monkeypatch):
    settings, store, _ = done
    before = finished(store)
    monkeypatch.setattr(run_context, "open_endpoint", lambda *_: pytest.fail("the endpoint was opened"))
    students = settings.students.model_copy(update={"max_new_tokens": 12, "max_concurrent_trials": 2})
    pipeline.run(settings.model_copy(update={"students": students, "run_dir": store.path}))
    after = finished(store)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"students", "predictions", "results"} or changed == {"predictions", "results"}


@pytest.mark.usefixtures("local_ray")
def test_a_student_replaced_in_place_is_trained_and_judged_anew(tmp_path, tiny_gpt2):
    model = Path(shutil.copytree(tiny_gpt2, tmp_path / "model"))
    settings = tiny(tmp_path / "run", model, students={"methods": ["vanilla"], "evaluate_untrained": False})
    store = Store(settings.run_path)
    trials = []
    for _ in range(2):
        pipeline.run(settings)
        trials.append(set(store.read("students")["trial"].to_pylist()))
        assert set(store.read("predictions")["trial"].to_pylist()) == trials[-1]
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))  # one number becomes 0
    assert not trials[0] & trials[1]


@pytest.mark.usefixtures("local_ray")
def test_a_student_that_cannot_be_opened_is_asked_once_it_can(tmp_path, tiny_gpt2, capsys):
    settings = tiny(tmp_path / "run", tiny_gpt2, students={"methods": ["vanilla"]})
    store = Store(settings.run_path)
    pipeline.run(settings)
    [trained] = [row for row in store.read("students").to_pylist() if row["method"] == "vanilla"]
    folder = Path(trained["checkpoint"])
    folder.rename(folder.with_name("aside"))
    (folder.parent / "predictions.key").unlink()
    store.invalidate("predictions")
    pipeline.run(settings)
    assert "1 could not be opened" in capsys.readouterr().err
    assert trained["trial"] not in store.read("predictions")["trial"].to_pylist()
    folder.with_name("aside").rename(folder)
    pipeline.run(settings)
    assert store.read("predictions")["trial"].to_pylist().count(trained["trial"]) == 16


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_an_arithmetic_benchmark_with_a_teacher_that_is_settings(data_dir, tmp_path, tiny_t5, monkeypatch):
    """AddSub's real file, an encoder-decoder student, the chat endpoint of a server addressed as if it were remote."""
    from raydistill import tasks
    from raydistill.config import QuestionSettings

    ask = {"tasks": ["addsub"], "source": "published", "limit_train": 16, "limit_test": 6, "unseen_patterns": 0}
    gold = tasks.load_questions(QuestionSettings.model_validate(ask), 0).to_pylist()
    monkeypatch.setenv("SOME_KEY", "sk-not-to-be-written-anywhere")
    with simulated.serve(Settings().teacher.simulated) as server:
        server.script(answers={row["question"]: row["answer"] for row in gold})
        settings = tiny(
            tmp_path / "run",
            tiny_t5,
            questions=ask,
            teacher={"kind": "api", "base_url": server.base_url, "model": server.model, "dialect": "chat"}
            | {"api_key_env": "SOME_KEY", "extraction": "published", "price": {"input": 1.5, "output": 2.0}},
            students={"methods": ["new_fine_tune_cot"], "evaluate_untrained": False},
        )
        pipeline.run(settings)
        store = Store(settings.run_path)
        served = server.stats()
    ledger = store.read("ledger").to_pylist()
    assert sum(r["prompt_tokens"] for r in ledger) == served["prompt_tokens"]
    assert sum(r["completion_tokens"] for r in ledger) == served["completion_tokens"]
    assert sum(r["usd"] for r in ledger) > 0
    kept = store.read("training").filter(pc.field("kept"))
    assert kept.num_rows >= 8
    samples = store.read("few_shot").to_pylist()
    assert [s["correct"] for s in samples] == [s["published_correct"] for s in samples]
    golds = {row["question"]: row["answer"] for row in gold}
    asked = {q["question_id"]: golds[q["question"]] for q in store.read("questions").to_pylist()}
    for s in samples:  # both judgements are kept, whichever decides
        rules = {"answer_type": "number", "rules": "robust", "task": "addsub"}
        assert s["robust_correct"] == answers.is_correct(s["robust_prediction"], asked[s["question_id"]], **rules)
    assert store.read("results")["n"].to_pylist() == [6]
    for path in Path(settings.run_path).rglob("*"):
        if path.is_file():
            assert b"sk-not-to-be-written" not in path.read_bytes(), path


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_real_local_llm_behind_llama_cpp(tmp_path, tiny_gpt2, monkeypatch):
    """configs/local_llm.yaml with fewer questions and a tiny student: every answer is a real model's."""
    from raydistill.cli.arguments import parse_settings

    overrides = (
        f"--run_dir {tmp_path / 'run'} --local --questions.limit_train 3 --questions.limit_test 1 "
        f"--students.models {tiny_gpt2} --students.max_steps 2 --students.max_new_tokens 8 --exemplars.n_clusters 1 "
        "--teacher.zero_shot_max_tokens 16 --teacher.few_shot_max_tokens 16 --exemplars.conditions correct_only"
    )
    settings = parse_settings(["local_llm", *overrides.split()])
    alive = {}

    def watched(name, work):
        def see(*given):
            children = [" ".join(child.cmdline()) for child in psutil.Process().children()]
            alive[name] = sum("raydistill.teacher.local" in command for command in children)
            return work(*given)

        return see

    monkeypatch.setattr(stage, "run", watched("ask", stage.run))
    monkeypatch.setattr(grid, "train", watched("train", grid.train))
    pipeline.run(settings)
    assert alive == {"ask": 1, "train": 0}  # a model that is done leaves the machine to the students
    store = Store(settings.run_path)
    zero_shot = store.read("zero_shot").to_pylist()
    assert len(zero_shot) == 4
    assert all(row["rationale"].strip() and row["completion_tokens"] > 0 for row in zero_shot)
    assert "simulated" not in zero_shot[0]["teacher"].lower()


def job(*argv: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, JOB, *argv], cwd=cwd, env=os.environ | env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize("wrong", ["endpoint", "key", "missing key", "model", "empty", "malformed", "run directory"])
def test_bad_input_is_one_message_and_an_exit_code(wrong, tmp_path, monkeypatch, capsys):
    """Before Ray is started, and before anything is paid for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_connection, "connect", lambda *_, **__: pytest.fail("Ray was started"))
    empty, malformed, blocked = tmp_path / "empty.jsonl", tmp_path / "bad.jsonl", tmp_path / "blocked"
    empty.write_text("")
    malformed.write_text('{"question": "1+1?", "answer": "2"}\n{"question": "1+2?", "answ')
    blocked.write_text("a file, not a directory")
    own = ["--questions.tasks", "[]", "--questions.answer_type", "number", "--questions.file"]
    api = ["--teacher", "api", "--teacher.api_key_env", "TEST_KEY"]
    with simulated.serve(Settings().teacher.simulated, api_key="right-key") as server:
        ask = [*api, "--teacher.base_url", server.base_url, "--teacher.model"]
        argv, said = {
            "endpoint": ([*api, "--teacher.base_url", "http://127.0.0.1:9/v1"], ["127.0.0.1:9", "base_url"]),
            "key": ([*ask, server.model], ["401", "TEST_KEY"]),
            "missing key": ([*api, "--teacher.api_key_env", "UNSET_KEY", "--teacher.base_url", "http://example.org/v1"],
                            ["UNSET_KEY"]),
            "model": ([*ask, "no-such-model"], ["no-such-model"]),
            "empty": ([*own, str(empty)], ["empty.jsonl"]),
            "malformed": ([*own, str(malformed)], ["bad.jsonl", "2"]),
            "run directory": (["--run_dir", str(blocked)], ["blocked"]),
        }[wrong]  # fmt: skip
        key = "wrong-key-value" if wrong == "key" else "right-key"
        monkeypatch.setenv("TEST_KEY", key)
        with pytest.raises(SystemExit) as stop:
            command.main(["run", "--run_dir", str(tmp_path / "run"), *argv])
    out = "".join(capsys.readouterr())
    assert stop.value.code == 2, out
    for text in said:
        assert text in out
    assert "Traceback" not in out
    assert key not in out
    assert len(out.strip().splitlines()) <= 6, out


def journal_lines(folder: Path) -> int:
    """Lines of the journal's segments that are answers, which are paid for."""
    return sum(path.read_bytes().count(b'{"keys":') for path in folder.glob("segment-*.jsonl"))


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(tmp_path, tiny_gpt2):
    import ray

    argv = [str(ROOT / "configs" / "quickstart.yaml"), "--run_dir", str(tmp_path / "run"), "--local"]
    argv += ["--questions.limit_train", "16", "--questions.limit_test", "2", "--students.models", str(tiny_gpt2)]
    argv += ["--students.max_steps", "2", "--students.max_new_tokens", "8", "--teacher.max_concurrency", "2"]
    argv += ["--students.methods", "fine_tune_cot", "--students.evaluate_untrained", "false"]
    slow = [*argv, "--teacher.simulated.latency_s", "0.5"]
    process = job(*slow, cwd=tmp_path)
    journal = tmp_path / "run" / "journal"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and journal_lines(journal) < 2:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 130, out
    assert "same command again" in out
    assert "Traceback" not in out
    paid = journal_lines(journal)
    assert paid >= 2
    ray_address = ray.get_runtime_context().gcs_address  # a Ray that runs already: saves the start of a second one
    process = job(*argv, cwd=tmp_path, RAY_ADDRESS=ray_address)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    assert "report.html" in out
    ledger = Store(str(tmp_path / "run")).read("ledger").to_pylist()
    assert sum(row["reused"] for row in ledger if row["stage"] == "zero_shot") >= paid

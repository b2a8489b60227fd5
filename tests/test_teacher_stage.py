"""The teacher stage on a real local Ray, against the simulated teacher over real HTTP."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from support.teacher_stage import KEY, prompt_table, run, settings_for, total

from raydistill import simulated
from raydistill.config import SimulatedSettings
from raydistill.runtime.errors import BudgetReached, TeacherError, TooManyFailures
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.tables import SAMPLES
from raydistill.teacher import estimate, inspect, journal, stage
from raydistill.teacher.journal.records import keys_of
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.open_endpoint import open_endpoint


@pytest.fixture(scope="module")
def one_server() -> Iterator[simulated.Teacher]:
    with simulated.serve(SimulatedSettings(latency_s=0.01), api_key=KEY, context_tokens=2000) as server:
        yield server


@pytest.fixture
def server(one_server: simulated.Teacher, monkeypatch: pytest.MonkeyPatch) -> simulated.Teacher:
    monkeypatch.setenv("STAGE_KEY", KEY)
    one_server.reset()
    return one_server


@pytest.mark.usefixtures("local_ray")
def test_zero_shot_with_faults_ledger_equals_server_and_a_second_run_is_free(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    server.script(
        [
            {"match": "Ann has 7 ", "call": "rationale", "status": 500, "times": 1},
            {"match": "Ann has 9 ", "call": "answer", "status": 503, "body": "busy", "times": 1},
            {"call": "rationale", "text": " 3 and 2 make 5."},
            {"call": "answer", "text": " 5 apples."},
        ]
    )
    settings = settings_for(server, tmp_path / "run", journal=str(tmp_path / "journal"), num_actors=2)
    samples = run("zero_shot", prompt_table(40), settings)
    assert samples.schema.equals(SAMPLES)
    assert samples["question_id"].to_pylist() == [f"q{i:05}" for i in range(40)]
    row = samples.to_pylist()[7]
    assert (row["rationale"], row["answer_text"]) == (" 3 and 2 make 5.", " 5 apples.")
    assert (row["prediction"], row["correct"], row["answered_by"]) == ("5", True, "answer_call")
    assert (row["calls"], row["attempts"], row["error_kind"], row["finish_reason"]) == (2, 3, "", "stop")
    stats, sums = server.stats(), total(Store(settings.run_path))
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        assert sums[name] == stats[name] == sum(samples[name].to_pylist())
    assert (sums["calls"], sums["attempts"], sums["reused"]) == (80, stats["requests"], 0)
    assert stats["requests"] == 82
    usd = (stats["prompt_tokens"] + 2 * stats["completion_tokens"]) / 1e6
    assert sums["usd"] == pytest.approx(usd)
    assert sum(samples["cost_usd"].to_pylist()) == pytest.approx(usd)

    other = settings_for(server, tmp_path / "another run", journal=str(tmp_path / "journal"))
    again = run("zero_shot", prompt_table(45), other)  # a shared journal, five more questions
    assert again.slice(0, 40).equals(samples)
    assert server.stats()["requests"] == 82 + 10
    assert total(Store(other.run_path))["reused"] == 80
    Store(other.run_path).write_text("settings.yaml", json.dumps(other.model_dump(mode="json")))  # as a run does
    shown = inspect.report(other.run_path)
    assert "45 calls (40 from the journal" in shown
    assert "3 and 2 make 5" in shown
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written


@pytest.mark.usefixtures("local_ray")
def test_damage_in_the_journal_is_said_and_bought_again(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"call": "rationale", "text": " 3 and 2 make 5."}, {"call": "answer", "text": " 5 apples."}])
    settings = settings_for(server, tmp_path)
    samples = run("zero_shot", prompt_table(5), settings)
    [sealed] = (tmp_path / "journal").glob("sealed-*.zst")
    content = bytearray(sealed.read_bytes())
    content[len(content) // 2] ^= 1
    sealed.write_bytes(content)
    shown = io.StringIO()
    with open_endpoint(settings.teacher) as endpoint:
        store = Store(settings.run_path)
        again = stage.run("zero_shot", prompt_table(5), settings, endpoint, store, Progress(shown))
    assert again["answer_text"].equals(samples["answer_text"])
    assert "The journal is damaged in places; what stood there is bought again." in " ".join(shown.getvalue().split())
    assert f"{sealed.name}, byte" in inspect.report(settings.run_path)


@pytest.mark.usefixtures("local_ray")
def test_few_shot_asks_again_only_where_the_rationale_holds_no_answer(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    run_on = {"text": " 5 and 2. The answer is 7\nQ: Bob has 3", "finish_reason": "length"}
    body = {"choices": [{"index": i, **run_on} for i in range(4)], "usage": {"prompt_tokens": 9}}
    server.script(
        [
            {"match": "Ann has 5 ", "call": "rationale", "body": json.dumps(body)},
            {"match": "Ann has 3 ", "call": "rationale", "text": [" 3 + 2 = 5. The answer is 5.", " It is some."] * 2},
            {"match": "Ann has 4 ", "call": "rationale", "text": " Four and two. The answer is 6.\nQ: What?"},
            {"call": "rationale", "text": " So it is. The answer is 5."},
            {"match": "Ann has 3 ", "call": "answer", "text": " 5."},
        ]
    )
    samples = run("few_shot", prompt_table(6, degree=4, adaptive=True), settings_for(server, tmp_path)).to_pylist()
    assert len(samples) == 24
    mine = [row for row in samples if row["question_id"] == "q00003"]
    assert [row["answered_by"] for row in mine] == ["rationale", "answer_call"] * 2
    assert [row["rationale"].strip() for row in mine[:2]] == ["3 + 2 = 5.", "It is some."]
    assert [row["correct"] for row in mine] == [True] * 4
    wrong = [row for row in samples if row["question_id"] == "q00004"]
    assert [row["prediction"] for row in wrong] == ["6"] * 4
    assert not any(row["correct"] for row in wrong)
    ran_on = [row for row in samples if row["question_id"] == "q00005"]  # its limit cut the next question, not it
    assert [(row["prediction"], row["answered_by"], row["finish_reason"]) for row in ran_on] == [
        ("7", "rationale", "stop")
    ] * 4
    log = server.log()
    assert sum(entry.get("n") == 4 for entry in log) == 6
    [second] = [entry for entry in log if "n" not in entry]  # both samples say the same: one call
    assert "What is 1 + 1?" not in second["prompt"]  # the exemplars stay out
    assert all(entry["stop"] == ["\nQ:"] for entry in log if "n" in entry)
    assert len(log) == 7


@pytest.mark.usefixtures("local_ray")
def test_failures_are_rows_and_a_second_run_asks_just_those(server: simulated.Teacher, tmp_path: Path) -> None:
    rules = [{"text": " 5"}]
    server.script([{"match": "Ann has 3 ", "status": 500}, {"match": "Ann has 4 ", "status": 422}, *rules])
    settings = settings_for(server, tmp_path, max_attempts=2)
    with pytest.raises(TooManyFailures, match=r"2 of 20 questions failed.*1 fatal.*1 transient") as caught:
        run("zero_shot", prompt_table(20), settings)
    assert "asks just those" in caught.value.hint
    assert total(Store(settings.run_path))["attempts"] == server.stats()["requests"]  # those that failed too
    files = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    shown = inspect.report(str(tmp_path), failures=1)
    assert re.search(r"rationale +simulated-teacher: 18 calls, 18 samples, .* \$0\.00\d\d", shown)
    assert (
        "zero_shot: 2 samples failed when it last ran\n  transient: 1\n  fatal: 1\n    custom q00003 after 2" in shown
    )
    assert "custom q00004" not in shown
    assert "Ann has" in shown
    assert files == {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}  # it only looks
    tolerant = settings_for(server, tmp_path, max_attempts=2, max_failure_rate=0.2)
    before = server.stats()["requests"]
    rows = run("zero_shot", prompt_table(20), tolerant).to_pylist()
    assert server.stats()["requests"] == before + 3
    assert [(r["error_kind"], r["attempts"]) for r in rows if r["error_kind"]] == [("transient", 2), ("fatal", 1)]
    assert "HTTP 500" in rows[3]["error"]
    assert (rows[3]["prediction"], rows[3]["correct"], rows[3]["answered_by"]) == (None, False, "none")
    server.script(rules)
    before = server.stats()["requests"]
    assert not any(r["error_kind"] for r in run("zero_shot", prompt_table(20), tolerant).to_pylist())
    assert server.stats()["requests"] == before + 4


@pytest.mark.usefixtures("local_ray")
def test_a_budget_stops_before_it_is_exceeded_and_the_run_goes_on_with_a_larger_one(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    server.script([{"text": " 5" * 20}])
    with pytest.raises(BudgetReached, match="answers of this command are kept") as caught:
        run("zero_shot", prompt_table(60), settings_for(server, tmp_path, budget_tokens=3000))
    assert "--teacher.budget_tokens" in caught.value.hint
    stats = server.stats()
    assert 2500 < stats["prompt_tokens"] + stats["completion_tokens"] <= 3000
    with pytest.raises(BudgetReached):  # what the run has bought counts
        run("zero_shot", prompt_table(60), settings_for(server, tmp_path, budget_tokens=3000))
    assert server.stats()["requests"] <= stats["requests"] + 2
    rows = run("zero_shot", prompt_table(60), settings_for(server, tmp_path, budget_tokens=100_000)).to_pylist()
    assert all(row["prediction"] == "5" or row["answer_text"] for row in rows)
    assert server.stats()["answered"] == 120  # nothing twice


@pytest.mark.usefixtures("local_ray")
def test_a_stages_own_budget_ends_it_without_ending_the_run_and_counts_what_the_run_bought_before(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    server.script([{"text": " 5" * 20}])
    settings = settings_for(server, tmp_path)
    rows = run("zero_shot", prompt_table(60), settings, Budget(usd=None, tokens=3000)).to_pylist()
    assert {row["error_kind"] for row in rows} == {"", "budget"}
    stats = server.stats()
    assert 2500 < stats["prompt_tokens"] + stats["completion_tokens"] <= 3000
    again = run("zero_shot", prompt_table(60), settings, Budget(usd=None, tokens=3000)).to_pylist()
    assert {row["error_kind"] for row in again} == {"", "budget"}
    stats = server.stats()
    assert stats["prompt_tokens"] + stats["completion_tokens"] <= 3000  # the second command has no 3,000 of its own


@pytest.mark.usefixtures("local_ray")
def test_relative_places_are_the_drivers_not_the_workers(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Ray's workers have another working directory
    settings = settings_for(server, Path("my/run"), journal="my/journal")
    assert [row["error"] for row in run("zero_shot", prompt_table(4), settings).to_pylist()] == [""] * 4
    assert sum(len(keys_of(entry)) for entry in scan(journal.Folder(str(tmp_path / "my/journal")))) == 8


@pytest.mark.usefixtures("local_ray")
def test_nothing_to_ask_is_an_empty_table(server: simulated.Teacher, tmp_path: Path) -> None:
    samples = run("zero_shot", prompt_table(0), settings_for(server, tmp_path))
    assert samples.schema.equals(SAMPLES)
    assert samples.num_rows == server.stats()["requests"] == 0


@pytest.mark.usefixtures("local_ray")
def test_a_journal_that_the_nodes_do_not_share_is_refused(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(server, tmp_path)
    drivers_own = journal.Folder(str(tmp_path / "elsewhere"))
    monkeypatch.setattr(stage, "journal_folder", lambda _: drivers_own)  # here; the actors open the run's
    with pytest.raises(journal.JournalError, match="not the one that the driver opened") as caught:
        run("zero_shot", prompt_table(5), settings)
    assert "all nodes share" in caught.value.hint
    assert server.stats()["requests"] == 0


@pytest.mark.usefixtures("local_ray")
def test_duplicate_questions_and_nested_degrees_are_bought_once(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"call": "rationale", "text": [f" r{i}" for i in range(4)], "delay_s": 0.1}, {"text": " 5"}])
    table = pa.concat_tables(
        [
            prompt_table(30, degree=4),
            prompt_table(30, degree=2),
            prompt_table(30, degree=4).set_column(2, "question_id", pa.array([f"copy{i}" for i in range(30)])),
        ]
    )
    samples = run("zero_shot", table, settings_for(server, tmp_path, num_actors=2)).to_pylist()
    assert len(samples) == 30 * 10
    assert all(row["error"] == "" for row in samples)
    counts = server.stats()["prompts"].values()
    assert sum(requests for requests, _ in counts) == 30 * (1 + 4)
    assert total(Store(str(tmp_path)))["calls"] == 30 * (1 + 4)


@pytest.mark.usefixtures("local_ray")
def test_an_actor_that_dies_costs_only_what_was_in_flight(server: simulated.Teacher, tmp_path: Path) -> None:
    import threading

    server.script([{"delay_s": 0.15, "text": " 5"}])
    settings = settings_for(server, tmp_path, max_concurrency=16, num_actors=2)
    killed: list[int] = []

    def kill() -> None:
        while server.stats()["answered"] < 100:
            time.sleep(0.05)
        children = psutil.Process().children(recursive=True)
        workers = [child for child in children if "MapWorker(MapBatches(TeacherActor))" in child.name()]
        workers = workers or [child for child in children if "TeacherActor" in " ".join(child.cmdline())]
        killed.append(workers[0].pid)
        workers[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    rows = run("zero_shot", prompt_table(200), settings).to_pylist()
    killer.join()
    assert len(killed) == 1
    assert len(rows) == 200
    assert all(row["answer_text"] == " 5" for row in rows)
    counts = [requests for requests, _ in server.stats()["prompts"].values()]
    assert len(counts) == 400
    assert max(counts) <= 2
    assert sum(counts) - 400 <= 16
    assert total(Store(settings.run_path))["calls"] == 400


def test_preflight_names_what_is_wrong_before_any_call(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(words: str, **teacher: Any) -> TeacherError:
        with (
            pytest.raises(TeacherError, match=words) as caught,
            open_endpoint(settings_for(server, tmp_path, **teacher).teacher),
        ):
            raise AssertionError("opened")
        assert caught.value.hint
        return caught.value

    refuse("does not know the model 'simulated-teache'.*It offers: simulated-teacher", model="simulated-teache")
    refuse("No answer from http://127.0.0.1:9", base_url="http://127.0.0.1:9/v1")
    refuse("STAGE_KEY_X is not set", base_url="https://api.example.com/v1", api_key_env="STAGE_KEY_X")
    monkeypatch.setenv("STAGE_KEY", "sk-wrong-0123456789")
    error = refuse("rejects the API key from the environment variable STAGE_KEY")
    assert "sk-wrong" not in str(error)
    refuse("No price is known", model="nobody", price=None, budget_usd=1.0)
    assert server.stats()["answered"] == 0


def test_before_a_batch_a_probe_finds_what_the_model_refuses(server: simulated.Teacher, tmp_path: Path) -> None:
    chat = settings_for(server, tmp_path, dialect="chat").teacher
    with open_endpoint(chat) as endpoint:
        assert (endpoint.refuses, server.stats()["requests"]) == (set(), 0)  # a listed model is not asked
    batch = chat.model_copy(update={"transport": "batch"})
    server.script([{"refuses": ["max_tokens", "temperature", "stop", "seed"], "text": "x"}])
    with open_endpoint(batch) as endpoint:
        assert endpoint.refuses == {"max_tokens", "temperature=0", "temperature=0.7", "stop", "seed"}
        asked = endpoint.request("chat", "Q", 8, 0.7, ("\nQ:",))
        assert {*asked.body([0])} == {"model", "messages", "max_completion_tokens"}
    server.script([{"refuses": ["max_tokens", "max_completion_tokens"]}])
    with pytest.raises(TeacherError, match="no limit could be set"), open_endpoint(batch):
        raise AssertionError("opened")


@pytest.mark.usefixtures("local_ray")
def test_parameters_that_the_first_call_finds_refused_are_left_out(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"refuses": ["max_tokens", "temperature", "seed", "stop"], "text": " It is 5."}])
    settings = settings_for(server, tmp_path, max_concurrency=4, dialect="chat")
    with open_endpoint(settings.teacher) as endpoint:
        store, progress = Store(settings.run_path), Progress(io.StringIO())
        samples = stage.run("zero_shot", prompt_table(30), settings, endpoint, store, progress)
        assert [row["error"] for row in samples.to_pylist()] == [""] * 30
        refused = server.stats()["errors"]
        assert refused <= 8 + 5  # those in flight when the first came back, and the probe's
        assert endpoint.refuses == {"max_tokens", "temperature=0", "temperature=0.7", "seed", "stop"}
        stage.run("few_shot", prompt_table(10, degree=2), settings, endpoint, store, progress)
        assert server.stats()["errors"] == refused  # the next stage knows
    bought = total(store)["calls"] - total(store)["reused"]
    assert server.stats()["answered"] == bought + 2  # the probes for both temperatures
    sent = [entry["request"] for entry in scan(stage.journal_folder(settings)) if keys_of(entry)]
    assert {(request["seed"], request["temperature"]) for request in sent} == {(None, None)}
    assert not any("max_tokens" in request for request in sent)


def test_estimate_agrees_with_what_a_run_takes(server: simulated.Teacher, tmp_path: Path, local_ray: None) -> None:
    settings = settings_for(server, tmp_path).model_copy(
        update={"students": settings_for(server, tmp_path).students.model_copy(update={"methods": ["fine_tune_cot"]})}
    )
    table = prompt_table(30)
    questions = table.select(
        [
            name
            for name in table.column_names
            if name in ("task", "split", "question_id", "question", "answer", "answer_type", "choices", "source_row")
        ]
    )
    [cost], text = estimate.estimate(questions, settings)
    server.script([{"call": "rationale", "text": "four" * 80}, {"text": " 5 apples, it is five in all."}])
    run("zero_shot", table, settings)
    sums = total(Store(settings.run_path))
    assert cost.calls == sums["calls"] == 60
    assert cost.prompt_tokens == pytest.approx(sums["prompt_tokens"], rel=0.15)
    assert cost.usd == pytest.approx(sums["usd"], rel=0.15)
    assert "60" in text
    assert cost.usd_at_most is not None
    assert cost.usd_at_most > sums["usd"]


INTERRUPTED = """
import sys, json
sys.path.insert(0, {tests!r})
from support import teacher_stage as t
from pathlib import Path
from raydistill.runtime import ray_connection
from raydistill.config import Settings
from raydistill.teacher.open_endpoint import open_endpoint
settings = Settings.model_validate_json(sys.stdin.readline())
ray_connection.connect(**settings.ray.model_dump())
t.run("zero_shot", t.prompt_table(2000), settings)
"""


@pytest.mark.slow
def test_ctrl_c_brings_the_calls_in_flight_home(local_ray: None, server: simulated.Teacher, tmp_path: Path) -> None:
    import ray

    server.script([{"delay_s": 3, "text": " 5"}])
    settings = settings_for(server, tmp_path, max_concurrency=8)
    code = INTERRUPTED.format(tests=str(Path(__file__).parent))
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STAGE_KEY": KEY, "RAY_ADDRESS": ray.get_runtime_context().gcs_address},
    )
    assert child.stdin
    child.stdin.write(settings.model_dump_json() + "\n")
    child.stdin.flush()
    while server.stats()["requests"] < 8:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "KeyboardInterrupt" in errors
    sent = server.stats()["requests"]
    bought = sum(len(keys_of(entry)) for entry in scan(journal.Folder(str(tmp_path / "journal"))))
    assert bought == sent == server.stats()["answered"]  # nothing that was sent was lost


@pytest.mark.slow
def test_kill_loop() -> None:
    loop = Path(__file__).resolve().parents[1] / "benchmarks" / "kill_loop.py"
    done = subprocess.run(
        [sys.executable, str(loop), "--kills", "5", "--questions", "240", "--latency", "0.15"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] >= 5
    assert found["bought_twice"] == 0
    assert found["tables_equal"]
    assert not found["key_found"]
    assert found["resent_per_kill"] <= found["in_flight_limit"] + 8  # answers on their way to the disk count too

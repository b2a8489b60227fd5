"""What one actor of a teacher stage buys over real HTTP, with faults injected by the simulated teacher; no Ray."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.teacher_asking import KEY, buy, request

from raydistill import simulated
from raydistill.config import SimulatedSettings
from raydistill.teacher import journal
from raydistill.teacher.journal import writer
from raydistill.teacher.limits.messages import Limits, StopReason
from raydistill.teacher.limits.pricing import Price


@pytest.fixture(scope="module")
def one_server() -> Iterator[simulated.Teacher]:
    with simulated.serve(SimulatedSettings(latency_s=0.0), api_key=KEY, context_tokens=600) as server:
        yield server


@pytest.fixture
def server(one_server: simulated.Teacher) -> simulated.Teacher:
    one_server.reset()
    one_server.script([])
    return one_server


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503 with a body that is no JSON": {"status": 503, "body": "<html>busy</html>"},
    "429 without Retry-After": {"status": 429},
    "reset": {"reset": True},
    "truncated answer": {"truncate": 60},
    "an error in a reply of success": {"body": '{"error": {"message": "overloaded", "code": 503}}'},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_passing_fault_costs_one_more_attempt_and_nothing_else(
    server: simulated.Teacher, tmp_path: Path, name: str
) -> None:
    server.script([FAULTS[name] | {"times": 1}, {"text": "The answer is 7."}])
    sample = buy(server, tmp_path, [(request(), 1)]).one
    assert sample.error is None
    assert sample.answer is not None
    assert (sample.answer.text, sample.answer.attempts) == ("The answer is 7.", 2)
    assert server.stats()["requests"] == 2
    again = buy(server, tmp_path, [(request(), 1)])
    assert again.one == sample
    assert server.stats()["requests"] == 2  # the journal's


@pytest.mark.parametrize("name", FAULTS)
def test_a_lasting_fault_is_a_named_failure(server: simulated.Teacher, tmp_path: Path, name: str) -> None:
    rule = FAULTS[name] | ({"headers": {"retry-after-ms": "1"}} if "429" in name else {})
    server.script([rule])
    sample = buy(server, tmp_path, [(request(), 1)], max_attempts=3).one
    assert sample.answer is None
    assert sample.error is not None
    assert sample.error.kind == ("rate_limit" if "429" in name else "transient")
    assert sample.error.message
    assert sample.error.attempts == server.stats()["requests"] == 3


def test_retry_after_is_waited_for_by_everybody(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"status": 429, "headers": {"Retry-After": "1"}, "times": 1}, {"text": "x"}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(30)], max_concurrency=2)
    assert all(samples[0].answer for samples in outcome.samples)
    log = server.log()
    refused = next(entry["at"] for entry in log if entry["status"] == 429)
    quiet = [entry["at"] - refused for entry in log if 0.2 < entry["at"] - refused < 0.95]
    assert quiet == []  # the one in flight beside it came home; nothing was sent until the second was over
    assert outcome.governor.snapshot().concurrency == 1  # halved


def test_a_hung_call_times_out(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"hang": True, "times": 1}, {"text": "x"}])
    sample = buy(server, tmp_path, [(request(), 1)], timeout=0.3).one
    assert sample.answer is not None
    assert sample.answer.attempts == 2


def test_one_slow_call_delays_nobody(server: simulated.Teacher, tmp_path: Path) -> None:
    slow = request(999)
    server.script([{"match": "What is 999", "delay_s": 1.5, "text": "late"}, {"delay_s": 0.02, "text": "x"}])
    outcome = buy(server, tmp_path, [(slow, 1), *((request(i), 1) for i in range(100))], max_concurrency=8)
    assert outcome.order[-1] == 0
    assert outcome.samples[0][0].answer.text == "late"  # type: ignore[union-attr]


def test_n_samples_take_one_request_and_one_entry_each(server: simulated.Teacher, tmp_path: Path) -> None:
    sampled = request(temperature=0.7)
    server.script([{"text": [f"sample {i}" for i in range(16)]}])
    [first] = buy(server, tmp_path, [(sampled, 8)]).samples
    assert [s.answer.text for s in first if s.answer] == [f"sample {i}" for i in range(8)]
    assert server.stats()["requests"] == 1
    [more] = buy(server, tmp_path, [(sampled, 16)]).samples
    assert more[:8] == first
    assert server.log()[-1]["n"] == 8  # only the eight that were missing
    [fewer] = buy(server, tmp_path, [(sampled, 3)]).samples
    assert fewer == first[:3]
    assert server.stats()["requests"] == 2
    tokens = [s.answer.prompt_tokens for s in first if s.answer]
    assert tokens[0] > 0
    assert tokens[1:] == [0] * 7  # the prompt is paid once


@pytest.mark.parametrize("reaction", ["refused", "ignored"])
def test_without_n_the_samples_are_requested_singly(server: simulated.Teacher, tmp_path: Path, reaction: str) -> None:
    if reaction == "refused":
        server.script([{"refuse_n": True}])
    else:
        only = {"choices": [{"text": "one", "finish_reason": "stop", "index": 0}], "usage": {"prompt_tokens": 3}}
        server.script([{"body": json.dumps(only), "times": 3}])
    requests = [(request(i, temperature=0.7, seed=5), 4) for i in range(2)]
    outcome = buy(server, tmp_path, requests, max_concurrency=1)
    assert all(sample.answer for samples in outcome.samples for sample in samples)
    [log1, log2] = ([e for e in server.log() if f"What is {i} " in e["prompt"]] for i in range(2))
    singles = [e["seed"] for e in log1 if "n" not in e]
    assert singles == ([5, 6, 7, 8] if reaction == "refused" else [7, 8])  # a seed of its own for each
    assert len(log2) <= 5  # found out once
    texts = [s.answer.text for s in outcome.samples[1] if s.answer]
    assert len(set(texts)) > 1


def test_half_a_surrogate_pair_is_kept_as_a_question_mark(server: simulated.Teacher, tmp_path: Path) -> None:
    body = r'{"choices": [{"text": "5 \ud83d is 5", "finish_reason": "length"}], "usage": {"prompt_tokens": 3}}'
    server.script([{"body": body}])
    answer = buy(server, tmp_path, [(request(), 1)]).one.answer
    assert answer is not None
    assert answer.text == "5 ? is 5"
    assert buy(server, tmp_path, [(request(), 1)]).one.answer == answer  # durable
    assert server.stats()["requests"] == 1


def test_finish_reason_and_chat(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"text": "word " * 50}])
    answer = buy(server, tmp_path, [(request(max_tokens=5), 1)]).one.answer
    assert answer is not None
    assert answer.finish_reason == "length"
    chat = buy(server, tmp_path, [(request(dialect="chat"), 1)], dialect="chat").one.answer
    assert chat is not None
    assert chat.text.startswith("word")
    assert server.log()[-1]["path"].endswith("/chat/completions")


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Unsupported parameter: 'max_tokens' … Use 'max_completion_tokens' instead.", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature=0"),
        ("Input validation error: `temperature` must be strictly positive", "temperature=0"),
        ("max_tokens is too large: 64. This model supports at most 16 completion tokens.", ""),
        ("Could not finish the message because max_tokens or model output limit was reached.", ""),
        ("Unsupported parameter: 'seed' is not supported with this model.", ""),  # none was sent
    ],
)
def test_a_refused_parameter_stops_everybody_by_its_name(
    server: simulated.Teacher, tmp_path: Path, message: str, refused: str
) -> None:
    server.script([{"status": 400, "message": message}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(20)], max_concurrency=2, max_attempts=1)
    stop = StopReason("parameter", parameter=refused, is_guess=True)  # no server's code or param says so
    assert outcome.governor.stop == (stop if refused else None)
    assert (server.stats()["requests"] < 10) == bool(refused)


def test_a_prompt_too_long_fails_alone(server: simulated.Teacher, tmp_path: Path) -> None:
    outcome = buy(server, tmp_path, [(request(1), 1), (request(2, prompt="long " * 900), 1), (request(3), 1)])
    kinds = [samples[0].error.kind if samples[0].error else "" for samples in outcome.samples]
    assert kinds == ["", "context_length", ""]
    assert server.stats()["requests"] == 3  # not repeated


def test_a_wrong_key_stops_everybody_and_is_never_shown(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"status": 401, "message": f"Incorrect API key provided: {KEY}."}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(200)], max_concurrency=4)
    errors = [samples[0].error for samples in outcome.samples]
    assert all(error is not None and error.kind in ("fatal", "stopped") for error in errors)
    assert server.stats()["requests"] <= 8
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "fatal"
    shown = " ".join(str(error) for error in errors) + str(outcome.governor.stop)
    assert KEY not in shown
    assert "***" in shown


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_empty_account_stops_everybody_at_once(server: simulated.Teacher, tmp_path: Path, code: str) -> None:
    server.script([{"status": 429, "message": "You exceeded your current quota.", "code": code}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(50)], max_concurrency=1)
    assert server.stats()["requests"] <= 2  # not repeated; the next one had its permit already
    assert outcome.governor.stop == StopReason("fatal", "HTTP 429: You exceeded your current quota.")


@pytest.mark.parametrize(("status", "most"), [(403, 12), (404, 12), (400, 50)])
def test_a_rejection_that_may_be_about_one_prompt_stops_everybody_after_some_in_a_row(
    server: simulated.Teacher, tmp_path: Path, status: int, most: int
) -> None:
    server.script([{"status": status, "message": "no"}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(50)], max_concurrency=1)
    assert 10 <= server.stats()["requests"] <= most
    assert (outcome.governor.stop is None) == (status == 400)


def test_a_success_between_rejections_starts_the_count_anew(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"match": f"What is {i} ", "text": "x"} for i in (9, 18, 27)] + [{"status": 403}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(36)], max_concurrency=1)
    assert outcome.governor.stop is None
    assert server.stats()["requests"] == 36


def test_a_server_error_is_retried_when_the_server_says(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"status": 503, "headers": {"Retry-After": "1"}, "times": 1}, {"text": "x"}])
    sample = buy(server, tmp_path, [(request(), 1)]).one
    assert sample.answer is not None
    refused, answered = (entry["at"] for entry in server.log())
    assert answered - refused >= 0.95


def test_the_same_request_is_never_in_flight_twice(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"delay_s": 0.1, "text": "x"}])
    outcome = buy(server, tmp_path, [(request(), 1)] * 20)
    assert {samples[0].answer.text for samples in outcome.samples if samples[0].answer} == {"x"}
    assert server.stats()["requests"] == 1


@pytest.mark.parametrize("usd", [True, False])
def test_a_budget_is_never_exceeded_and_nearly_used(server: simulated.Teacher, tmp_path: Path, usd: bool) -> None:
    server.script([{"delay_s": 0.01, "text": "x" * 80}])
    limits = Limits(max_concurrency=16, usd=0.002 if usd else None, tokens=None if usd else 2000)
    outcome = buy(
        server, tmp_path, [(request(i), 1) for i in range(300)], limits=limits, price=Price.flat(1e-6, 1e-6, 1e-6)
    )
    errors = [samples[0].error for samples in outcome.samples]
    stats = server.stats()
    used = stats["prompt_tokens"] + stats["completion_tokens"]
    assert 1800 < used <= 2000
    assert {error.kind for error in errors if error} == {"budget"}
    assert sum(error is None for error in errors) == stats["answered"]
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "budget"
    assert outcome.governor.snapshot().spent.tokens == used


def test_limits_that_only_the_server_knows_are_kept(tmp_path: Path) -> None:
    with simulated.serve(SimulatedSettings(latency_s=0.01, requests_per_minute=1200)) as server:
        outcome = buy(server, tmp_path, [(request(i), 1) for i in range(100)], max_concurrency=8)
        assert all(samples[0].answer for samples in outcome.samples)
        assert outcome.governor.request_bucket is not None
        assert outcome.governor.request_bucket.rate == pytest.approx(20 * 0.98)


def test_a_full_disk_stops_cleanly(server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = os.write, [2000]

    def write(descriptor: int, data: bytes) -> int:  # as a full disk does: a part is written, then no more
        name = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.isdir("/proc/self/fd") else "segment"
        if "segment" not in name:
            return real(descriptor, data)
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(descriptor, bytes(data[: left[0]]))
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(writer, "GIVE_UP_S", 0.5)
    server.script([{"delay_s": 0.01, "text": "x"}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(200)], max_concurrency=4)
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "journal"
    assert "No space left on device for the journal" in outcome.governor.stop.message
    sent = server.stats()["requests"]
    assert sent < 50
    monkeypatch.undo()
    [segment] = tmp_path.glob("segment-*.jsonl")
    assert segment.read_bytes().endswith(b"\n")  # the half line was taken back
    assert journal.Reader(journal.Folder(str(tmp_path))).damage == []
    kept = sum(samples[0].answer is not None for samples in outcome.samples)
    after = buy(server, tmp_path, [(request(i), 1) for i in range(200)], max_concurrency=4)
    assert all(samples[0].answer for samples in after.samples)
    assert server.stats()["requests"] <= sent + 200 - kept  # what was written is used again


def test_nothing_written_holds_the_key(server: simulated.Teacher, tmp_path: Path) -> None:
    buy(server, tmp_path, [(request(i), 1) for i in range(5)])
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"What is 3" in written
    assert KEY.encode() not in written

"""The three outcomes of a call, and that nothing paid for is invisible: real HTTP, no Ray.

The simulated teacher is told what to do; its answers are priced, and what the engine believes it spent is compared with
the most that the server can have charged.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.teacher_asking import KEY, buy, request

from raydistill import simulated
from raydistill.config import SimulatedSettings
from raydistill.teacher import journal
from raydistill.teacher.api import completions
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.api.usage import StatedUsage
from raydistill.teacher.calls.purchase import groups
from raydistill.teacher.journal import compaction, readings, records
from raydistill.teacher.journal.scan import scan
from raydistill.teacher.limits import breaker
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.limits.price import Price
from raydistill.teacher.limits.tokens import TokenRatios
from raydistill.teacher.spending import spending

PRICE = Price.flat(1e-6, 1e-6, 4e-6)
ANSWER = {"text": "The answer is 7."}

UNREADABLE: dict[str, bytes | str] = {
    "junk": '{"choices": [{"te',
    "a page": "<html><body>Please log in.</body></html>",
    "JSON that is no completion": "[1, 2]",
    "no choices": '{"choices": []}',
    "a text that is none": '{"choices": [{"text": 5, "finish_reason": "stop"}]}',
    "a stream": 'data: {"choices": [{"text": "7"}]}\n\ndata: [DONE]\n\n',
    "nothing": "",
}


@pytest.fixture(scope="module")
def one_server() -> Iterator[simulated.Teacher]:
    with simulated.serve(SimulatedSettings(latency_s=0.0), api_key=KEY) as server:
        yield server


@pytest.fixture
def server(one_server: simulated.Teacher) -> simulated.Teacher:
    one_server.reset()
    one_server.script([])
    return one_server


def most(n: int = 1) -> float:
    """The most that a request for n samples may cost, in USD."""
    [purchase] = groups(request(), [str(i) for i in range(n)], range(n), n, "", "")
    return PRICE.of(*purchase.most(TokenRatios()))


def entries(folder: Path, kind: str) -> list[records.Entry]:
    return [entry for entry in scan(journal.Folder(str(folder))) if records.kind_of(entry) == kind]


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_reply_that_cannot_be_read_is_kept_counted_and_not_bought_again(
    server: simulated.Teacher, tmp_path: Path, name: str
) -> None:
    server.script([{"body": UNREADABLE[name], "times": 1}, ANSWER])
    first = buy(server, tmp_path, [(request(), 1)], price=PRICE)
    assert first.one.error is not None
    assert first.one.error.kind == "unreadable"
    assert first.one.answer is not None
    assert first.one.answer.usd == pytest.approx(most())
    assert first.governor.spent.usd == pytest.approx(most())
    [kept] = entries(tmp_path, "reply")
    assert records.content_of(kept).decode() == UNREADABLE[name]
    again = buy(server, tmp_path, [(request(), 1)], price=PRICE)
    assert again.one.error is not None
    assert again.one.error.message == first.one.error.message
    assert server.stats()["requests"] == 1
    compaction.compact(journal.Folder(str(tmp_path)))
    assert buy(server, tmp_path, [(request(), 1)], price=PRICE).one.answer == first.one.answer
    assert spending(journal.Folder(str(tmp_path)), ["run"]).replies.usd == pytest.approx(most())


def test_it_is_bought_again_if_the_user_says_so_and_the_better_reply_counts(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    server.script([{"body": "junk", "times": 1}, ANSWER])
    buy(server, tmp_path, [(request(), 1)])
    bought = buy(server, tmp_path, [(request(), 1)], unreadable="buy_again").one
    assert bought.error is None
    assert buy(server, tmp_path, [(request(), 1)]).one == bought
    assert buy(server, tmp_path, [(request(), 1)], unreadable="buy_again").one == bought
    assert server.stats()["requests"] == 2


def test_a_better_reader_reads_what_was_paid_for(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal holds what came, not what this version understood of it."""
    server.script([{"body": json.dumps({"output": "The answer is 7."}), "times": 1}, ANSWER])
    buy(server, tmp_path, [(request(), 1)])

    def read_reply(content: bytes) -> Reply:
        return Reply([json.loads(content)["output"]], ["stop"], StatedUsage())

    monkeypatch.setattr(completions, "DIALECT", replace(completions.DIALECT, read_reply=read_reply))
    monkeypatch.setattr(dialects, "load", lambda name: completions.DIALECT)
    sample = buy(server, tmp_path, [(request(), 1)]).one
    assert sample.error is None
    assert sample.answer is not None
    assert sample.answer.text == "The answer is 7."
    assert server.stats()["requests"] == 1


def test_unreadable_replies_in_a_row_stop_everybody(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"body": "<html>Please log in.</html>"}])
    outcome = buy(server, tmp_path, [(request(i), 8) for i in range(200)], max_concurrency=4, price=PRICE)
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "fatal"
    assert "cannot be read" in outcome.governor.stop.message
    assert server.stats()["requests"] <= 10 + 4


UNKNOWN: dict[str, dict[str, Any]] = {
    "slower than the time-out": {"delay_s": 0.6, "text": "late"},
    "hangs": {"hang": True},
    "reset": {"reset": True},
    "cut": {"truncate": 60},
    "504": {"status": 504, "body": "<html>Gateway Time-out</html>"},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_call_whose_outcome_is_unknown_counts_at_its_reservation(
    server: simulated.Teacher, tmp_path: Path, name: str
) -> None:
    """Here, and in every later command: it may have been paid for."""
    server.script([UNKNOWN[name]])
    outcome = buy(server, tmp_path, [(request(), 1)], price=PRICE, timeout=0.2, max_attempts=3)
    assert outcome.one.error is not None
    assert outcome.one.error.attempts == 3
    assert outcome.governor.spent.usd == pytest.approx(3 * most())
    assert outcome.governor.snapshot().count("lost") == 3
    spent = spending(journal.Folder(str(tmp_path)), ["run"])
    assert spent.unknown.usd == pytest.approx(3 * most())
    assert spent.replies.usd == 0


@pytest.mark.parametrize("status", [429, 500, 503, 400])
def test_an_error_status_is_not_paid_for(server: simulated.Teacher, tmp_path: Path, status: int) -> None:
    server.script([{"status": status, "times": 2}, ANSWER])
    outcome = buy(server, tmp_path, [(request(), 1)], price=PRICE)
    paid = outcome.one.answer.usd if outcome.one.answer else 0.0
    assert outcome.governor.spent.usd == pytest.approx(paid)
    assert spending(journal.Folder(str(tmp_path)), ["run"]).unknown.usd == 0


def test_an_error_in_a_reply_of_success_counts_and_is_tried_again(server: simulated.Teacher, tmp_path: Path) -> None:
    error = {"error": {"message": "upstream overloaded", "code": 502}}
    server.script([{"body": json.dumps(error), "times": 1}, ANSWER])
    outcome = buy(server, tmp_path, [(request(), 1)], price=PRICE)
    answer = outcome.one.answer
    assert answer is not None
    assert answer.usd is not None
    assert answer.attempts == 2
    assert outcome.governor.spent.usd == pytest.approx(most() + answer.usd)
    assert spending(journal.Folder(str(tmp_path)), ["run"]).total.usd == pytest.approx(most() + answer.usd)


def test_what_is_in_flight_is_noted_before_it_is_sent(server: simulated.Teacher, tmp_path: Path) -> None:
    """A command that is killed cannot say what it was about to pay for."""
    server.script([{"delay_s": 0.3, "text": "x"}])
    seen: list[float] = []

    def in_flight() -> None:
        seen.append(spending(journal.Folder(str(tmp_path)), ["run"]).unknown.usd)

    buy(server, tmp_path, [(request(i), 1) for i in range(20)], price=PRICE, while_waiting=(0.15, in_flight))
    assert 20 * most() * 0.9 <= seen[0] <= 20 * most() * 1.5
    assert spending(journal.Folder(str(tmp_path)), ["run"]).unknown.usd == 0  # all came home


USAGES: dict[str, Any] = {
    "missing": None,
    "null": {"usage": None},
    "empty": {"usage": {}},
    "underflow": {"usage": {"prompt_tokens": 20, "completion_tokens": 2**64 - 1}},
    "negative": {"usage": {"prompt_tokens": 20, "completion_tokens": -5}},
    "prompt only": {"usage": {"prompt_tokens": 20}},
}


@pytest.mark.parametrize("name", USAGES)
def test_completions_that_are_not_counted_count_as_the_most_they_could_be(
    server: simulated.Teacher, tmp_path: Path, name: str
) -> None:
    body = {"choices": [{"text": "7", "finish_reason": "stop", "index": 0}], **(USAGES[name] or {})}
    server.script([{"body": json.dumps(body)}])
    answer = buy(server, tmp_path, [(request(), 1)], price=PRICE).one.answer
    assert answer is not None
    assert answer.completion_tokens == request().max_tokens
    compaction.compact(journal.Folder(str(tmp_path)))  # nothing that a server writes makes a journal unusable
    assert spending(journal.Folder(str(tmp_path)), ["run"]).total.usd == pytest.approx(answer.usd)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": "20", "completion_tokens": "9"}, (20, 9)),
        ({"input_tokens": 20, "output_tokens": 9}, (20, 9)),
        ({"prompt_tokens": 20, "total_tokens": 29}, (20, 9)),
    ],
)
def test_usage_is_read_under_other_names_and_forms(
    server: simulated.Teacher, tmp_path: Path, usage: dict[str, Any], tokens: tuple[int, int]
) -> None:
    body = {"choices": [{"text": "7", "finish_reason": "stop", "index": 0}], "usage": usage}
    server.script([{"body": json.dumps(body)}])
    answer = buy(server, tmp_path, [(request(), 1)]).one.answer
    assert answer is not None
    assert (answer.prompt_tokens, answer.completion_tokens) == tokens


def test_a_bill_can_be_reconciled(server: simulated.Teacher, tmp_path: Path) -> None:
    body = {
        "id": "cmpl-1",
        "model": "m-2024-08-06",
        "system_fingerprint": "fp_1",
        "choices": [{"text": "7", "finish_reason": "stop", "index": 0}],
    }
    server.script([{"body": json.dumps(body)}])
    buy(server, tmp_path, [(request(), 1)])
    [row] = [row for entry in entries(tmp_path, "reply") for row in readings.rows(entry)]
    assert (row["response_id"], row["served_model"], row["system_fingerprint"]) == ("cmpl-1", "m-2024-08-06", "fp_1")
    assert (row["run"], row["session"], row["stage"], row["kind"]) == ("run", "session", "zero_shot", "rationale")
    assert (row["attempts"], row["model"]) == (1, simulated.MODEL)


def test_one_short_reply_does_not_turn_several_samples_off(server: simulated.Teacher, tmp_path: Path) -> None:
    """With it, the prompt would be paid for eight times from then on."""
    choices = [{"text": f"{i}", "finish_reason": "stop", "index": i} for i in range(5)]
    server.script([{"body": json.dumps({"choices": choices}), "times": 1}, ANSWER])
    outcome = buy(server, tmp_path, [(request(i, temperature=0.7), 8) for i in range(50)], max_concurrency=4)
    assert all(sample.answer for samples in outcome.samples for sample in samples)
    assert server.stats()["requests"] == 51  # once more for three samples


def test_prices_of_purchases_without_one_are_known_later(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([ANSWER])
    buy(server, tmp_path, [(request(), 1)])
    folder = journal.Folder(str(tmp_path))
    assert spending(folder, ["run"]).total.usd == 0
    later = spending(folder, ["run"], price=PRICE).total.usd
    assert later > 0
    buy(server, tmp_path, [(request(1), 1)], price=PRICE)
    dearer = Price.flat(1e-5, 1e-5, 4e-5)
    assert spending(folder, ["run"], price=dearer).total.usd == pytest.approx(11 * later, rel=0.1)  # 10 + 1


def test_a_budget_holds_against_a_server_that_ignores_the_completion_limit(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    limit = request().max_tokens
    usage = {"prompt_tokens": 20, "completion_tokens": int(3.3 * limit)}
    body = {"choices": [{"text": "7", "finish_reason": "stop", "index": 0}], "usage": usage}
    server.script([{"body": json.dumps(body), "delay_s": 0.02}])
    limits = Limits(max_concurrency=64, usd=0.02)
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(200)], limits=limits, price=PRICE)
    billed = server.stats()["requests"] * PRICE.of(20, 0, int(3.3 * limit))
    assert 0.015 < billed <= 0.02
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "budget"


def test_a_passing_rejection_of_the_key_is_confirmed_by_one_more_call(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    server.script([{"status": 401, "times": 4}, ANSWER])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(40)], max_concurrency=4)
    assert outcome.governor.stop is None
    assert all(samples[0].answer for samples in outcome.samples)


def test_runs_that_share_a_journal_at_once_buy_nothing_twice(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"delay_s": 0.1, "text": "x"}])
    requests = [(request(i), 1) for i in range(60)]
    both: list[Any] = []
    buy(
        server,
        tmp_path,
        requests,
        run="first",
        is_shared=True,
        max_concurrency=8,
        while_waiting=(
            0.1,
            lambda: both.append(buy(server, tmp_path, requests[::-1], run="second", is_shared=True, max_concurrency=8)),
        ),
    )
    assert all(samples[0].answer for samples in both[0].samples)
    assert server.stats()["requests"] <= 1.05 * len(requests)


def test_the_next_command_of_a_run_does_not_wait_for_the_claims_of_the_last(
    server: simulated.Teacher, tmp_path: Path
) -> None:
    server.script([{"status": 500, "times": 4}, ANSWER])
    first = buy(server, tmp_path, [(request(), 1)], session="first", is_shared=True, max_attempts=4)
    assert first.one.error is not None
    started = time.monotonic()
    again = buy(server, tmp_path, [(request(), 1)], session="second", is_shared=True)
    assert again.one.error is None
    assert time.monotonic() - started < 5


def test_a_journal_that_cannot_be_written_is_noticed_before_anything_is_bought(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(journal.Folder):  # a disk that is unmounted after it was looked at
        def __init__(self, path: str) -> None:
            super().__init__(path)
            shutil.rmtree(path)

    monkeypatch.setattr(journal, "Folder", Gone)
    outcome = buy(server, tmp_path / "journal", [(request(i), 8) for i in range(50)])
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "journal"
    assert str(tmp_path / "journal") in outcome.governor.stop.message
    assert server.stats()["requests"] == 0


def test_who_sleeps_between_two_attempts_is_woken_by_a_stop(server: simulated.Teacher, tmp_path: Path) -> None:
    server.script([{"status": 500, "headers": {"Retry-After": "50"}}])
    started = time.monotonic()
    outcome = buy(
        server,
        tmp_path,
        [(request(i), 1) for i in range(4)],
        max_attempts=8,
        limits=Limits(max_concurrency=4),
        stop_after=0.3,
    )
    assert time.monotonic() - started < 5
    kinds = {samples[0].error.kind for samples in outcome.samples if samples[0].error}
    assert kinds == {"stopped"}


def test_a_server_that_answers_nothing_any_more_ends_the_stage(
    server: simulated.Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "HOPELESS_S", 0.5)
    server.script([{"status": 503, "message": "down for maintenance"}])
    outcome = buy(server, tmp_path, [(request(i), 1) for i in range(50)], max_concurrency=4, max_attempts=1000)
    assert outcome.governor.stop is not None
    assert outcome.governor.stop.kind == "hopeless"
    assert "down for maintenance" in outcome.governor.stop.message

"""A stage's budget: what a call may still cost, what the first call shows, and what earlier commands spent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.journals import BUYER, append

from raydistill.teacher import journal
from raydistill.teacher.journal import compaction, records
from raydistill.teacher.journal.records import Buyer, Entry
from raydistill.teacher.limits.amount import NOTHING, Amount
from raydistill.teacher.limits.budget import Budget, exceeded
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Limits, RateLimits, Report
from raydistill.teacher.spending import spending

CALL = Amount(0.25, 100)


class Stage:
    """A governor under a clock, and one actor's reports to it."""

    def __init__(self, limits: Limits) -> None:
        self.now = 100.0
        self.governor = Governor(limits, lambda: self.now)

    def ask(self, calls: int, actor: str = "a", **fields: object) -> Grant:
        """Ask for `calls` calls."""
        return self.governor.exchange(Report(actor, 0, calls, [CALL] * calls, **fields))  # type: ignore[arg-type]


def test_a_budget_may_be_used_to_its_last_cent_and_token() -> None:
    usd = Stage(Limits(max_concurrency=10, usd=1.0))
    usd.ask(0, successes=1)
    assert usd.ask(10).permits == 4
    tokens = Stage(Limits(max_concurrency=10, tokens=400))
    tokens.ask(0, successes=1)
    assert tokens.ask(10).permits == 4


def test_a_budget_ends_a_stage_when_no_call_in_flight_could_give_anything_back() -> None:
    stage = Stage(Limits(max_concurrency=10, usd=0.5))
    stage.ask(0, successes=1)
    assert stage.ask(2).permits == 2
    assert stage.ask(1).stop is None
    assert stage.ask(1, settled=CALL, spent=Amount(0.25, 100)).stop is None  # one is still out
    grant = stage.ask(1, settled=CALL, spent=Amount(0.125, 50))
    assert grant.permits == 0
    assert grant.stop is not None
    assert grant.stop.message == "the next call may cost $0.2500, and $0.1250 is left"


def test_what_is_left_is_said_without_what_may_come_back() -> None:
    limits = Limits(max_concurrency=10, tokens=250, usd=10.0)
    reason = exceeded(limits, Amount(1.0, 100), CALL, CALL)
    assert reason is not None
    assert (reason.kind, reason.limit) == ("budget", "tokens")
    assert reason.message == "the next call may take 100 tokens, and 150 are left"
    assert exceeded(Limits(max_concurrency=10), Amount(1e9, 10**12), CALL, CALL) is None


def test_the_first_call_of_a_stage_with_a_budget_goes_alone() -> None:
    """It shows how this server counts; a rate limit shows nothing, an error does."""
    stage = Stage(Limits(max_concurrency=10, usd=100.0))
    assert stage.ask(5).permits == 1
    assert stage.ask(5).permits == 0
    assert stage.ask(5, actor="b").permits == 0
    throttled = stage.ask(5, settled=CALL, failures={"HTTP 429": 1}, throttled=0.0)
    assert throttled.permits == 0
    stage.now += 2
    assert stage.ask(5).permits == 1
    assert stage.ask(5, settled=CALL, failures={"HTTP 500": 1}).permits == 5


def test_the_first_answer_lets_the_others_go() -> None:
    stage = Stage(Limits(max_concurrency=10, tokens=10_000))
    assert stage.ask(5).permits == 1
    assert stage.ask(5, settled=CALL, successes=1).permits == 5


def test_without_a_budget_nobody_waits_for_the_first_call() -> None:
    assert Stage(Limits(max_concurrency=10, requests_per_minute=60_000)).ask(1).permits == 1
    stage = Stage(Limits(max_concurrency=10, tokens_per_minute=10**6))
    assert stage.ask(5).permits >= 1
    stage.now += 1
    assert stage.ask(5).permits == 5


def test_an_actor_that_begins_its_own_block_again_is_alive() -> None:
    stage = Stage(Limits(max_concurrency=10, usd=100.0))
    stage.ask(1)
    assert not stage.governor.begin(1, "a")
    assert stage.governor.begin(1, "a")
    assert stage.governor.spent == NOTHING
    assert stage.governor.reserved == CALL


def test_what_is_left_of_a_budget_and_what_two_budgets_allow() -> None:
    assert Budget(1.0, 1000).less(Amount(0.25, 300)) == (0.75, 700)
    assert Budget(None, 1000).less(Amount(0.25, 300)) == (None, 700)
    assert Budget(1.0, None).less(Amount(0.25, 300)) == (0.75, None)
    assert Budget(1.0, 1000).within(Budget(2.0, 10)) == (1.0, 10)
    assert Budget(None, 1000).within(Budget(2.0, None)) == (2.0, 1000)
    assert [Budget(1.0, None).is_limited, Budget(None, 0).is_limited, Budget(None, None).is_limited] == [
        True,
        True,
        False,
    ]


def spent_by(path: Path, entries: Sequence[Entry], stage: str = "") -> tuple[Amount, Amount]:
    """Return what these lines of a journal count for: in replies, and in calls whose outcome is unknown."""
    folder = journal.Folder(str(path))
    writer = journal.Writer(folder)
    asyncio.run(append(writer, list(entries)))
    writer.close()
    first = spending(folder, [BUYER.run], stage)
    compaction.compact(folder)
    assert spending(folder, [BUYER.run], stage) == first
    assert first.total == first.replies.plus(first.unknown)
    return first.replies, first.unknown


def test_of_the_notes_about_calls_in_flight_the_last_of_each_writer_counts(tmp_path: Path) -> None:
    notes = [
        records.open_calls(Amount(0.5, 500), "one", 2, BUYER),
        records.open_calls(Amount(4.0, 4000), "one", 1, BUYER),  # written before, found after
        records.open_calls(Amount(0.25, 250), "two", 1, BUYER),
        records.open_calls(Amount(8.0, 8000), "three", 1, BUYER),
        records.open_calls(NOTHING, "three", 2, BUYER),  # all came home
    ]
    assert spent_by(tmp_path, notes) == (NOTHING, Amount(0.75, 750))


def test_lost_calls_and_those_in_flight_add_up_by_run_and_stage(tmp_path: Path) -> None:
    other_stage = Buyer(BUYER.run, "s", "few_shot")
    notes = [
        records.lost_call("k1", Amount(0.5, 500), "time-out", BUYER),
        records.lost_call("k2", Amount(0.5, 500), "time-out", BUYER),
        records.open_calls(Amount(0.25, 250), "one", 1, BUYER),
        records.lost_call("k3", Amount(2.0, 2000), "time-out", other_stage),
        records.open_calls(Amount(4.0, 4000), "two", 1, other_stage),
        records.lost_call("k4", Amount(64.0, 64_000), "time-out", Buyer("another run", "s", BUYER.stage)),
        records.claim(["00"], "one", 1e12, BUYER),  # costs nothing
    ]
    assert spent_by(tmp_path / "stage", notes, BUYER.stage) == (NOTHING, Amount(1.25, 1250))
    assert spent_by(tmp_path / "run", notes) == (NOTHING, Amount(7.25, 7250))


@pytest.mark.parametrize("seconds", [1.0, 15.0])
def test_an_actor_is_told_when_the_next_request_fits(seconds: float) -> None:
    stage = Stage(Limits(max_concurrency=10, requests_per_minute=60 / seconds / 0.98))
    assert stage.ask(2).permits == 1
    grant = stage.ask(1)
    assert grant.permits == 0
    assert grant.again_s == pytest.approx(seconds)
    stage.now += seconds * 0.99
    assert stage.ask(1).permits == 0
    stage.now += seconds * 0.02
    assert stage.ask(1).permits == 1


def test_a_call_of_many_tokens_is_waited_off() -> None:
    stage = Stage(Limits(max_concurrency=10, tokens_per_minute=6000))
    assert stage.ask(1).permits == 1  # 100 tokens of 98 a second
    stage.now += 0.5
    assert stage.ask(1).permits == 0
    stage.now += 0.6
    assert stage.ask(1).permits == 1


def test_a_servers_own_limits_are_kept_if_they_are_lower() -> None:
    def seconds_for_a_request(own: float | None, stated: float | None) -> float:
        stage = Stage(Limits(max_concurrency=10, requests_per_minute=own))
        stage.ask(0, rate_limits=RateLimits(stated, None, 0.0))
        assert stage.ask(1).permits == 1
        return stage.ask(1).again_s

    assert seconds_for_a_request(None, 60) == pytest.approx(1 / 0.98)
    assert seconds_for_a_request(60, 30) == pytest.approx(2 / 0.98)
    assert seconds_for_a_request(60, 59) == pytest.approx(60 / 59 / 0.98)
    assert seconds_for_a_request(60, 600) == pytest.approx(1 / 0.98)
    assert seconds_for_a_request(60, None) == pytest.approx(1 / 0.98)


def test_a_servers_own_token_limit_is_kept_too() -> None:
    stage = Stage(Limits(max_concurrency=10))
    assert stage.ask(0).unlimited
    grant = stage.ask(0, rate_limits=RateLimits(None, 6000, 0.0))
    assert not grant.unlimited
    assert stage.ask(2).permits == 1  # 100 tokens of 98 a second
    stage.ask(0, rate_limits=RateLimits(None, 60_000, 0.0))  # higher: the lower one stays
    stage.now += 0.5
    assert stage.ask(1).permits == 0
    stage.ask(0, rate_limits=RateLimits(None, 600, 0.0))
    stage.now += 1
    assert stage.ask(2).permits <= 1


def test_nobody_sends_while_a_server_says_that_nothing_is_left() -> None:
    stage = Stage(Limits(max_concurrency=10))
    stage.ask(0, rate_limits=RateLimits(600, None, 0.0))
    assert stage.ask(0).pause_s == 0
    stage.ask(0, rate_limits=RateLimits(600, None, 0.75))
    grant = stage.ask(1, actor="b")
    assert (grant.permits, grant.pause_s) == (0, 0.75)
    stage.now += 0.75
    assert stage.ask(1, actor="b").permits == 1


def test_a_stage_ends_at_its_budget_unless_it_is_told_otherwise() -> None:
    assert Limits(max_concurrency=1).on_budget == "stop_stage"


def test_requests_that_nobody_sent_do_not_gather() -> None:
    stage = Stage(Limits(max_concurrency=10, requests_per_minute=60))
    stage.now += 600
    assert stage.ask(5).permits == 1

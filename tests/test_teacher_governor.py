"""Limits: pure bookkeeping under a clock of the test's own, and over real HTTP against a server that enforces them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.teacher_asking import buy, request

from raydistill import simulated
from raydistill.config import SimulatedSettings, TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.journal import compaction
from raydistill.teacher.journal.records import Buyer, reply
from raydistill.teacher.limits.amount import Amount
from raydistill.teacher.limits.bucket import SAFETY
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.limits.governor import HEARTBEAT_TIMEOUT_S, Governor
from raydistill.teacher.limits.messages import Limits, Report
from raydistill.teacher.limits.price import Price
from raydistill.teacher.stage_limits import stage_limits


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_requests_per_minute_are_held_and_used_over_all_actors() -> None:
    clock = Clock()
    governor = Governor(Limits(max_concurrency=1000, requests_per_minute=600), clock)
    sent: list[float] = []
    for _ in range(6000):  # a minute in steps of 10 ms, three hungry actors
        clock.now += 0.01
        for actor in "abc":
            grant = governor.exchange(Report(actor, waiting=50, wants=[Amount(0.0, 10)] * 50))
            assert not grant.unlimited
            sent += [clock.now] * grant.permits
    assert 0.95 * 600 <= len(sent) <= 600
    for start in range(100, 160, 5):
        assert sum(start <= at < start + 10 for at in sent) <= 101 * SAFETY + 3


def test_tokens_per_minute_are_refunded_by_real_usage() -> None:
    clock = Clock()
    governor = Governor(Limits(max_concurrency=1000, tokens_per_minute=60_000), clock)
    real = 0
    flying: list[float] = []
    for _ in range(6000):
        clock.now += 0.01
        home = [at for at in flying if at <= clock.now]
        flying = [at for at in flying if at > clock.now]
        done = len(home)  # each had reserved 400 and took 100
        report = Report("a", len(flying), 50, [Amount(0.0, 400)] * 50)
        report.settled, report.spent = Amount(0.0, 400 * done), Amount(0.0, 100 * done)
        grant = governor.exchange(report)
        flying += [clock.now + 0.5] * grant.permits
        real += 100 * grant.permits
    assert 0.95 * 60_000 <= real <= 1.01 * 60_000


@given(st.integers(1, 64), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=60))
def test_calls_in_flight_never_exceed_the_limit(limit: int, steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    governor = Governor(Limits(max_concurrency=limit), clock)
    flying = dict.fromkeys(range(4), 0)
    for actor, waiting in steps:
        clock.now += 0.05
        slots = governor.exchange(Report(str(actor), flying[actor], waiting)).slots
        flying[actor] = max(flying[actor], min(slots, flying[actor] + waiting)) if slots else flying[actor]
        assert sum(flying.values()) <= limit
        flying[actor] = random.randint(0, flying[actor])


def test_hungry_actors_get_equal_shares() -> None:
    clock = Clock()
    governor = Governor(Limits(max_concurrency=256), clock)
    flying = {"a": 0, "b": 0}
    for _ in range(20):
        for actor in flying:
            clock.now += 0.05
            flying[actor] = governor.exchange(Report(actor, flying[actor], 500)).slots
    assert flying == {"a": 128, "b": 128}
    assert governor.exchange(Report("a", 0, 0)).slots <= 128
    assert governor.exchange(Report("b", 128, 500)).slots > 128  # what the other does not want


def test_one_refusal_cools_everybody_and_concurrency_recovers() -> None:
    clock = Clock()
    governor = Governor(Limits(max_concurrency=64, min_concurrency=4), clock)
    governor.exchange(Report("b", 10, 10))
    governor.exchange(Report("a", 10, 10, throttled=5.0))
    assert governor.exchange(Report("b", 10, 10)).pause_s == pytest.approx(5.0)
    assert governor.snapshot().concurrency == 32
    governor.exchange(Report("a", 10, 10, throttled=5.0))  # of the same burst
    assert governor.snapshot().concurrency == 32
    for _ in range(10):
        clock.now += 10
        governor.exchange(Report("a", 10, 10, throttled=1.0))
    assert governor.snapshot().concurrency == 4
    before = governor.snapshot().concurrency
    for _ in range(40):
        clock.now += 1
        governor.exchange(Report("a", 10, 10))
        assert governor.snapshot().concurrency >= before
        before = governor.snapshot().concurrency
    assert before == 64


@given(st.floats(0.001, 0.1), st.integers(0, 1000))
def test_money_is_reserved_before_it_is_spent(budget: float, seed: int) -> None:
    luck = random.Random(seed)
    clock = Clock()
    governor = Governor(Limits(max_concurrency=50, usd=budget), clock)
    spent = 0.0
    flying: dict[str, int] = {"a": 0, "b": 0}
    for _ in range(4000):
        clock.now += 0.1
        actor = luck.choice("ab")
        done = luck.randint(0, flying[actor])
        cost = [luck.uniform(0.0, 0.001) for _ in range(done)]
        spent += sum(cost)
        report = Report(actor, flying[actor] - done, 20, [Amount(0.001, 5)] * 20, successes=done)
        report.settled, report.spent = Amount(0.001 * done, 5 * done), Amount(sum(cost), 5 * done)
        grant = governor.exchange(report)
        flying[actor] += grant.permits - done
        assert spent + 0.001 * sum(flying.values()) <= budget + 1e-9
        if grant.stop:
            assert (grant.stop.kind, grant.stop.limit) == ("budget", "usd")
            return
    raise AssertionError("it never stopped")


@pytest.mark.parametrize("known_by", ["its silence", "its block"])
@pytest.mark.parametrize("limit", ["tokens", "usd"])
def test_a_dead_actor_gives_its_slots_back_and_what_it_reserved_counts_as_spent(limit: str, known_by: str) -> None:
    """Its five calls may have been answered and paid for, though nobody will ever settle them."""
    clock = Clock()
    limits = Limits(max_concurrency=10, tokens=1000) if limit == "tokens" else Limits(max_concurrency=10, usd=1.0)
    governor = Governor(limits, clock)
    call = Amount(0.1, 100)
    governor.exchange(Report("dead", successes=1))  # the first call is over
    governor.exchange(Report("dead", 0, 10, [call] * 5))
    governor.exchange(Report("dead", 5, 5))
    governor.begin(7, "dead")
    if known_by == "its silence":
        clock.now += HEARTBEAT_TIMEOUT_S + 1
    else:
        governor.begin(7, "b")
    grant = governor.exchange(Report("b", 0, 100, [call] * 10))
    assert grant.slots == 10
    assert grant.permits == 5  # half of the budget is gone with the dead actor
    spent = governor.snapshot()
    assert spent.spent.tokens == 500
    assert spent.spent.usd == pytest.approx(0.5)
    settled = Report("b", 0, 100, [call], settled=Amount(0.5, 500), spent=Amount(0.5, 500))
    last = governor.exchange(settled)
    assert last.permits == 0
    assert last.stop is not None
    assert (last.stop.kind, last.stop.limit) == ("budget", limit)


def test_a_block_that_is_begun_again_is_known() -> None:
    governor = Governor(Limits(max_concurrency=1))
    assert [governor.begin(1, "a"), governor.begin(2, "a"), governor.begin(1, "b")] == [False, False, True]


def bought(folder: Path, run: str, stage: str, usd: float, tokens: int) -> None:
    """Put one answer into the journal in `folder`."""
    writer = journal.Writer(journal.Folder(str(folder)))
    key = hashlib.sha256(f"{run} {stage}".encode()).hexdigest()
    body = {"choices": [{"text": "text"}], "usage": {"prompt_tokens": tokens - 10, "completion_tokens": 10}}
    entry = reply(
        [key],
        200,
        json.dumps(body).encode(),
        {"model": "m", "endpoint": "completions"},
        Buyer(run, "s", stage),
        attempts=1,
        reserved=(tokens, 10),
        price=Price.flat(usd / tokens, usd / tokens, usd / tokens).to_json(),
        task="t",
        kind="rationale",
    )
    asyncio.run(writer.append(entry))
    writer.close()


def test_what_a_run_has_bought_counts_towards_its_budget_and_towards_its_stages(tmp_path: Path) -> None:
    bought(tmp_path, "mine", "zero_shot", 2.0, 2000)
    bought(tmp_path, "mine", "llm_judge", 0.25, 250)
    bought(tmp_path, "another", "llm_judge", 4.0, 4000)
    folder = journal.Folder(str(tmp_path))
    teacher = TeacherSettings(budget_usd=10.0, budget_tokens=10_000, min_concurrency=500)

    def left(stage: str, own: Budget | None = None, settings: TeacherSettings = teacher) -> tuple[object, ...]:
        limits = stage_limits(settings, folder, ["mine"], stage, own)
        return limits.usd, limits.tokens, limits.on_budget

    assert left("zero_shot") == (7.75, 7750, "stop_stage")
    assert left("llm_judge", Budget(1.0, 1000)) == (0.75, 750, "fail_rows")  # its own budget, less what it took
    assert left("llm_judge", Budget(50.0, None)) == (7.75, 7750, "fail_rows")  # the run's ends first
    unlimited = TeacherSettings()
    assert left("zero_shot", None, unlimited) == (None, None, "stop_stage")
    assert left("llm_judge", Budget(None, 1000), unlimited) == (None, 750, "fail_rows")
    assert stage_limits(teacher, folder, ["mine"], "zero_shot").min_concurrency == teacher.max_concurrency
    few = TeacherSettings(max_failure_rate=0.25)
    assert stage_limits(few, folder, ["mine"], "zero_shot", prompts=102).max_failed == 25
    assert stage_limits(few, folder, ["mine"], "zero_shot").max_failed is None


def test_what_the_judge_took_under_its_former_name_counts_towards_its_budget(tmp_path: Path) -> None:
    bought(tmp_path, "mine", "judge", 0.25, 250)  # as raydistill 0.1.0 called the stage
    bought(tmp_path, "mine", "llm_judge", 0.5, 500)
    folder = journal.Folder(str(tmp_path))
    limits = stage_limits(TeacherSettings(), folder, ["mine"], "llm_judge", Budget(1.0, 1000))
    assert (limits.usd, limits.tokens) == (0.25, 250)
    compaction.compact(folder)
    assert stage_limits(TeacherSettings(), folder, ["mine"], "llm_judge", Budget(1.0, 1000)) == limits


@pytest.mark.parametrize("limit", ["requests", "tokens"])
def test_a_server_that_enforces_limits_is_used_fully_and_hardly_ever_refuses(limit: str) -> None:
    per_minute = {"requests": 2400, "tokens": 120_000}[limit]
    served = SimulatedSettings(latency_s=0.2, **{f"{limit}_per_minute": per_minute})  # type: ignore[arg-type]
    with simulated.serve(served) as server, tempfile.TemporaryDirectory() as folder:
        server.script([{"text": "word " * 20}])
        limits = Limits(max_concurrency=64, **{f"{limit}_per_minute": per_minute})  # type: ignore[arg-type]
        asked = buy(server, Path(folder), [(request(i), 1) for i in range(320)], limits=limits)
        assert all(samples[0].answer for samples in asked.samples)
        stats, log = server.stats(), server.log()
        assert stats["rate_limited"] < 0.01 * stats["requests"]
        arrivals = [entry["at"] for entry in log][40:]  # past the first allowance
        took = arrivals[-1] - arrivals[0]
        each = 1 if limit == "requests" else (stats["prompt_tokens"] + stats["completion_tokens"]) / stats["answered"]
        used = each * (len(arrivals) - 1) / took * 60
        print(f"{limit}: {used / per_minute:.1%} of the allowance, {stats['rate_limited']} refused")
        assert used > 0.9 * per_minute  # 0.97 on a quiet machine

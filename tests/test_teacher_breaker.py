"""Waiting ends: a stage whose calls all fail says so, and one that may yet succeed goes on. The clock is the test's."""

from __future__ import annotations

from raydistill.teacher.limits.breaker import (
    HOPELESS_ATTEMPTS,
    HOPELESS_S,
    KINDS_OF_MESSAGE,
    LONGEST_PAUSE_S,
    RATE_WINDOW_S,
    Breaker,
)
from raydistill.teacher.limits.concurrency import DEFAULT_PAUSE_S, RECOVER_S
from raydistill.teacher.limits.governor import FEW_FAILED, Governor
from raydistill.teacher.limits.messages import Limits, Report

DOWN = "ConnectError: all attempts failed"


class Stage:
    """A governor under a clock, and one actor's reports to it."""

    def __init__(self, max_failed: int | None = None) -> None:
        self.now = 100.0
        self.governor = Governor(Limits(max_concurrency=64, max_failed=max_failed), lambda: self.now)

    def report(self, **fields: object) -> str:
        """Send a report; return the kind of stop, "" if there is none."""
        grant = self.governor.exchange(Report("a", **fields))  # type: ignore[arg-type]
        return grant.stop.kind if grant.stop else ""

    def fail_for(self, seconds: float, **fields: object) -> str:
        """Report two failed attempts a second for a while."""
        end = self.now + seconds
        stop = ""
        while self.now < end and not stop:
            self.now += 1.0
            stop = self.report(failures={DOWN: 2}, **fields)
        return stop


def test_a_server_that_is_gone_ends_the_stage_with_the_commonest_message() -> None:
    stage = Stage()
    stage.report(failures={"HTTP 500: once": 1})
    assert stage.fail_for(HOPELESS_S - 2) == ""
    assert stage.fail_for(5) == "hopeless"
    assert stage.governor.stop is not None
    assert DOWN in stage.governor.stop.message
    assert stage.now - 100 <= HOPELESS_S + 2


def test_few_attempts_prove_nothing_however_long_they_take() -> None:
    stage = Stage()
    for _ in range(HOPELESS_ATTEMPTS - 1):
        stage.now += 60
        assert stage.report(failures={DOWN: 1}, failing_since_s=60.0) == ""
    stage.now += 60
    assert stage.report(failures={DOWN: 1}, failing_since_s=60.0) == "hopeless"


def test_an_answer_begins_the_count_anew() -> None:
    stage = Stage()
    assert stage.fail_for(HOPELESS_S - 5) == ""
    assert stage.report(successes=1) == ""
    assert stage.fail_for(HOPELESS_S - 5) == ""


def test_a_wave_of_calls_that_all_timed_out_is_enough() -> None:
    """They were sent at once and ended at once: nobody pays for a second wave."""
    stage = Stage()
    stage.now += 120
    assert stage.report(failures={"the call timed out": 64}, failing_since_s=120.0) == "hopeless"


def test_calls_that_are_still_out_may_yet_be_answered() -> None:
    """A busy server takes some calls and refuses the others: those that it took began before the first refusal."""
    stage = Stage()
    first_sent = stage.now
    for _ in range(100):
        stage.now += 1
        assert stage.report(failures={"HTTP 429": 2}, in_flight=16, oldest_s=stage.now - first_sent) == ""
    assert stage.report(in_flight=16, oldest_s=1.0) == "hopeless"


def test_a_pause_that_the_server_asks_for_is_waited_for_once() -> None:
    stage = Stage()
    stage.report(failures={"HTTP 429": 64}, throttled=300.0)
    stage.now += 300
    assert stage.report(failures={"HTTP 429": 64}, throttled=300.0) == ""
    stage.now += 300
    assert stage.report(failures={"HTTP 429": 64}, throttled=300.0) == "hopeless"


def test_a_rate_limit_of_a_minute_is_waited_out() -> None:
    stage = Stage()
    assert stage.fail_for(RATE_WINDOW_S - 2, throttled=0.0) == ""
    assert stage.fail_for(5, throttled=0.0) == "hopeless"


def test_nobody_waits_for_a_quota_of_a_day() -> None:
    stage = Stage()
    stage.report(failures={"HTTP 429": 1}, throttled=86_400.0)
    grant = stage.governor.exchange(Report("b", waiting=1))
    assert grant.pause_s < 2
    assert LONGEST_PAUSE_S < 86_400
    assert stage.fail_for(RATE_WINDOW_S + 2, throttled=86_400.0) == "hopeless"


def test_more_failed_rows_than_may_end_the_stage() -> None:
    stage = Stage(max_failed=30)
    assert stage.report(counts={"failed": 30.0}) == ""
    assert stage.report(counts={"failed": 1.0}) == "failures"
    small = Stage(max_failed=0)
    assert small.report(counts={"failed": float(FEW_FAILED)}) == ""  # a small stage asks all its rows
    assert small.report(counts={"failed": 1.0}) == "failures"
    unlimited = Stage()
    assert unlimited.report(counts={"failed": 1e6}) == ""


def test_an_answer_forgets_rate_limits_pauses_and_messages() -> None:
    stage = Stage()
    stage.report(failures={"HTTP 429": 500}, throttled=300.0)
    stage.report(successes=1)
    assert stage.fail_for(HOPELESS_S + 3) == "hopeless"
    assert stage.governor.stop is not None
    assert DOWN in stage.governor.stop.message
    assert "429" not in stage.governor.stop.message
    assert "500" not in stage.governor.stop.message


def test_the_message_says_how_long_and_how_often() -> None:
    stage = Stage()
    stage.now += 120
    stage.report(failures={"the call timed out": 64, "reset": 3}, failing_since_s=120.0)
    assert stage.governor.stop is not None
    assert stage.governor.stop.message == "no call was answered for 120 s, 67 failed: the call timed out"


def test_calls_of_the_same_wave_may_yet_be_answered_later_ones_prove_nothing() -> None:
    stage = Stage()
    stage.now += 60
    out = {"failures": {DOWN: 64}, "failing_since_s": 60.0, "in_flight": 1}
    assert stage.report(**out, oldest_s=59.5) == ""
    assert stage.report(in_flight=1, oldest_s=58.5) == "hopeless"


def test_messages_of_many_kinds_are_counted_as_far_as_it_helps() -> None:
    breaker = Breaker()
    breaker.failed({DOWN: 1}, 0.0, 100.0)
    for i in range(1000):
        breaker.failed({f"request {i} failed": 1}, 0.0, 100.0)
    breaker.failed({DOWN: 1}, 0.0, 100.0)
    assert breaker.commonest == DOWN
    reason = breaker.reason(None, 1000.0)
    assert reason is not None
    assert "1002 failed" in reason.message
    assert len(breaker._messages) == KINDS_OF_MESSAGE
    assert Breaker().commonest == ""


def test_a_pause_that_the_server_asks_for_is_a_pause_for_all() -> None:
    stage = Stage()
    stage.report(failures={"HTTP 429": 1}, throttled=LONGEST_PAUSE_S)
    assert stage.governor.snapshot().paused_s == LONGEST_PAUSE_S
    assert stage.governor.exchange(Report("b", waiting=1)).pause_s == LONGEST_PAUSE_S


def test_after_a_rate_limit_concurrency_grows_back_in_half_a_minute() -> None:
    stage = Stage()
    stage.report(throttled=0.0)
    assert stage.governor.snapshot().concurrency == 32
    assert stage.governor.snapshot().paused_s == DEFAULT_PAUSE_S
    stage.now += 0.9
    stage.report(throttled=0.0)  # of the same burst
    assert stage.governor.snapshot().concurrency == 32
    stage.now += DEFAULT_PAUSE_S + RECOVER_S / 4
    stage.report()
    assert stage.governor.snapshot().concurrency == 48
    stage.now += RECOVER_S / 4
    stage.report()
    assert stage.governor.snapshot().concurrency == 64


def test_patience_ends_on_time() -> None:
    for seconds, fields in ((HOPELESS_S, {}), (RATE_WINDOW_S, {"throttled": 0.0})):
        stage = Stage()
        stage.report(failures={DOWN: HOPELESS_ATTEMPTS}, **fields)
        stage.now += seconds - 0.01
        assert stage.report() == ""
        stage.now += 0.02
        assert stage.report() == "hopeless"


def test_concurrency_does_not_grow_while_everybody_pauses() -> None:
    stage = Stage()
    stage.report(throttled=20.0)
    stage.now += 20
    stage.report()
    assert stage.governor.snapshot().concurrency == 32


def test_the_oldest_call_of_all_actors_may_yet_be_answered() -> None:
    stage = Stage()
    stage.now += 60
    stage.governor.exchange(Report("b", in_flight=1, oldest_s=1.0))
    assert stage.report(failures={DOWN: 64}, failing_since_s=60.0, in_flight=1, oldest_s=60.0) == ""
    assert stage.report() == "hopeless"

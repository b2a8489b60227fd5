"""What one call's error means for that call and for all others: another attempt, a failed row, or an end."""

from __future__ import annotations

import asyncio

import pytest
from support.teacher_asking import request

from raydistill.teacher.api import errors
from raydistill.teacher.api.errors import CallError, Kind
from raydistill.teacher.calls.purchase import SINGLE_REPLIES, NSupport, groups
from raydistill.teacher.calls.stop_rules import FATAL_IN_A_ROW, UNREADABLE_IN_A_ROW, StopRules, shown
from raydistill.teacher.limits.amount import NOTHING
from raydistill.teacher.limits.breaker import LONGEST_PAUSE_S
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Grant, Limits, Report
from raydistill.teacher.limits.permits import Permit, Permits

REQUEST = request()
PERMIT = Permit(NOTHING, sent=1e12)  # sent after all that happened


class Rules(StopRules):
    """The rules of an actor with a governor of its own."""

    def __init__(self, max_attempts: int = 3, takes: tuple[str, ...] = ()) -> None:
        self.governor = Governor(Limits(max_concurrency=4))
        super().__init__(Permits("a", self._exchange), max_attempts, takes)

    async def _exchange(self, report: Report) -> Grant:
        return self.governor.exchange(report)

    def meets(self, kind: Kind, permit: Permit = PERMIT, attempts: int = 1, **fields: object) -> bool:
        """Take in an error; return whether to try again."""
        error = CallError(kind, f"{kind}!", attempts=attempts, **fields)  # type: ignore[arg-type]
        return self.is_worth_another(REQUEST, error, permit)

    @property
    def end(self) -> str:
        """Kind of stop; "" if there is none."""
        return self.permits.stop.kind if self.permits.stop else ""


@pytest.mark.parametrize("kind", ["rate_limit", "transient"])
def test_a_passing_error_is_tried_again_as_often_as_may_be(kind: Kind) -> None:
    rules = Rules(max_attempts=3)
    assert [rules.meets(kind, attempts=attempts) for attempts in (1, 2, 3)] == [True, True, False]
    assert rules.end == ""


def test_a_rate_limit_is_told_to_everybody_and_counted() -> None:
    rules = Rules()
    rules.meets("rate_limit", retry_after=7.0)
    rules.meets("transient", retry_after=90.0)  # is about this call
    asyncio.run(rules.permits.flush())
    assert rules.governor.counts == {"refused": 1}
    assert 5 < rules.governor.snapshot().paused_s <= 7


@pytest.mark.parametrize("kind", ["context_length", "fatal", "refused_n"])
def test_an_error_about_one_prompt_fails_its_row_alone(kind: Kind) -> None:
    rules = Rules()
    assert not any(rules.meets(kind) for _ in range(FATAL_IN_A_ROW + 1))
    assert rules.end == ""


def test_an_empty_account_ends_all_at_once() -> None:
    rules = Rules()
    assert not rules.meets("fatal", status=429, code=errors.NO_CREDIT, fatal_for_all=True)
    assert rules.permits.stop is not None
    assert (rules.permits.stop.kind, rules.permits.stop.message) == ("fatal", "fatal!")


@pytest.mark.parametrize("status", [402, 403, 404])
def test_rejections_in_a_row_end_all(status: int) -> None:
    rules = Rules()
    for _ in range(FATAL_IN_A_ROW - 1):
        assert not rules.meets("fatal", status=status, fatal_for_all=True)
    assert rules.end == ""
    rules.answered(REQUEST)
    for _ in range(FATAL_IN_A_ROW - 1):
        rules.meets("fatal", status=status, fatal_for_all=True)
    assert rules.end == ""
    rules.meets("fatal", status=status, fatal_for_all=True)
    assert rules.end == "fatal"


def test_a_rejected_key_ends_all_once_a_call_that_was_sent_after_it_is_rejected_too() -> None:
    def rejected(permit: Permit) -> bool:
        return rules.meets("fatal", permit, status=401, fatal_for_all=True)

    rules = Rules()
    beside = Permit(NOTHING, sent=0.0)  # sent before the first rejection
    assert [rejected(beside), rejected(beside), rules.end] == [True, True, ""]
    rules.answered(REQUEST)  # the token is renewed
    assert [rejected(beside), rules.end] == [True, ""]
    assert [rejected(PERMIT), rules.end] == [False, "fatal"]


def test_unreadable_replies_in_a_row_end_all() -> None:
    rules = Rules()
    for _ in range(UNREADABLE_IN_A_ROW - 1):
        rules.unreadable("a page")
    rules.answered(REQUEST)
    for _ in range(UNREADABLE_IN_A_ROW - 1):
        rules.unreadable("a page")
    assert rules.end == ""
    rules.unreadable("a page")
    assert rules.permits.stop is not None
    assert rules.permits.stop.kind == "fatal"
    assert rules.permits.stop.message == f"{UNREADABLE_IN_A_ROW} replies in a row cannot be read: a page"


@pytest.mark.parametrize(("is_guess", "is_taken", "ends"), [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize("known_by", ["an earlier command", "an answer"])
def test_a_guess_about_a_parameter_that_the_model_takes_is_not_believed(
    is_guess: int, is_taken: int, ends: int, known_by: str
) -> None:
    rules = Rules(takes=tuple(REQUEST.parameters) if is_taken and known_by == "an earlier command" else ())
    if is_taken and known_by == "an answer":
        rules.answered(REQUEST)
    assert not rules.meets("refused", param="temperature", status=400, is_guess=bool(is_guess))
    stop = rules.permits.stop
    assert (stop is not None) == ends
    if stop is not None:
        assert (stop.kind, stop.is_guess) == ("parameter", bool(is_guess))
        assert stop.parameter in REQUEST.parameters


def test_a_wait_that_nobody_waits_is_said() -> None:
    def message(retry_after: float | None) -> str:
        return shown(CallError("rate_limit", "HTTP 429", retry_after=retry_after))

    assert message(None) == message(LONGEST_PAUSE_S) == "HTTP 429"
    assert message(86_400.0) == "HTTP 429 (the endpoint asks to come back in 24.0 h)"


def test_several_replies_of_one_sample_turn_n_off() -> None:
    support = NSupport(0)
    assert support.size(8) == 8
    for _ in range(SINGLE_REPLIES - 1):
        support.replied(8, 1)
    support.replied(1, 1)  # says nothing
    assert support.size(8) == 8
    support.replied(8, 5)  # it takes `n`, if not always
    for _ in range(SINGLE_REPLIES - 1):
        support.replied(8, 1)
    assert support.size(8) == 8
    support.replied(8, 1)
    assert support.size(8) == 1


def test_that_n_is_refused_is_believed_unless_it_is_a_guess_and_n_was_taken() -> None:
    guess = CallError("refused_n", "HTTP 400", is_guess=True)
    named = CallError("refused_n", "HTTP 400")
    new = NSupport(0)
    assert new.refused(guess)
    assert new.size(8) == 1
    proven = NSupport(0)
    proven.replied(8, 2)
    assert not proven.refused(guess)
    assert proven.size(8) == 8
    assert proven.refused(named)
    assert proven.size(8) == 1


def test_samples_are_bought_together_as_far_as_a_request_may_have() -> None:
    assert [NSupport(3).size(8), NSupport(0).size(8), NSupport(0).size(0)] == [3, 8, 1]
    keys = [f"key {i}" for i in range(9)]
    purchases = groups(REQUEST, keys, [1, 2, 4, 6, 8], 2, "task", "rationale")
    assert [purchase.samples for purchase in purchases] == [[1, 2], [4, 6], [8]]
    assert [purchase.keys for purchase in purchases] == [["key 1", "key 2"], ["key 4", "key 6"], ["key 8"]]
    assert [purchase.limit for purchase in purchases] == [128, 128, 64]

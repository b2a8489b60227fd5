"""The ledger: each call counts once, under its task and kind, with what it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from raydistill.runtime.store import Store
from raydistill.tables import LEDGER
from raydistill.teacher import ledger, samples
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.calls.stored_samples import Sample
from raydistill.teacher.journal.readings import Answer
from raydistill.teacher.prompt_row import PromptRow
from raydistill.teacher.samples import Call, Outcome

PROMPT = PromptRow(
    "svamp", "train", "q0", "How many?", "5.0", "number", [], 0, "fine_tune_cot", 1, "Q: ?", 64, 0.0, False
)


def answer(key: str, response: str, **changes: Any) -> Answer:
    """Return a sample under `key` of the response whose first sample has the key `response`."""
    first = {
        "prompt_tokens": 20,
        "cached_tokens": 5,
        "completion_tokens": 9,
        "usd": 0.25,
        "attempts": 2,
    }
    other = {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 8, "usd": 0.0, "attempts": 0}
    fields = {"key": key, "text": "7", "finish_reason": "stop", "response": response, "session": "now", "model": "m"}
    return Answer(**{**fields, **(first if key == response else other), **changes})  # type: ignore[arg-type]


def failed(key: str, attempts: int) -> Sample:
    error = CallError("transient", "HTTP 500", attempts=attempts)
    error.key = key
    return Sample(None, error)


def summed(*rows: list[Call]) -> dict[str, dict[str, Any]]:
    """Return the ledger of rows that rest on these calls, by kind."""
    row = samples.blank(PROMPT, 0, "k", "m")
    table = pa.Table.from_pylist(
        [ledger.with_calls(Outcome(row, calls), "now") for calls in rows], ledger.SAMPLES_WITH_CALLS
    )
    summary = ledger.summarise("zero_shot", table)
    assert summary.schema == LEDGER
    by_kind = {}
    for values in summary.to_pylist():
        assert (values.pop("stage"), values.pop("task")) == ("zero_shot", "svamp")
        by_kind[values.pop("kind")] = values
    return by_kind


def sums(calls: int, attempts: int, reused: int, tokens: tuple[int, int, int], usd: float | None) -> dict[str, Any]:
    prompt, cached, completion = tokens
    return {
        "calls": calls,
        "attempts": attempts,
        "reused": reused,
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": completion,
        "usd": usd,
    }


def test_a_response_of_several_samples_is_one_call_however_many_rows_rest_on_it() -> None:
    first = Call("rationale", Sample(answer("a", "a"), None))
    second = Call("rationale", Sample(answer("b", "a"), None))
    extraction = Call("answer", Sample(answer("c", "c"), None))
    assert summed([first, extraction], [second, extraction], [first]) == {
        "rationale": sums(1, 2, 0, (20, 5, 17), 0.25),
        "answer": sums(1, 2, 0, (20, 5, 9), 0.25),
    }


def test_what_an_earlier_session_bought_is_reused() -> None:
    before = Call("rationale", Sample(answer("a", "a", session="before"), None))
    other = Call("rationale", Sample(answer("b", "a", session="before"), None))
    now = Call("rationale", Sample(answer("c", "c"), None))
    assert summed([before], [other], [now])["rationale"] == sums(2, 4, 1, (40, 10, 26), 0.5)


def test_a_request_that_failed_counts_its_attempts_and_one_never_sent_nothing() -> None:
    calls = [Call("rationale", failed("a", 3)), Call("rationale", failed("b", 4)), Call("answer", failed("c", 0))]
    assert summed(calls, calls) == {"rationale": sums(0, 7, 0, (0, 0, 0), 0.0)}


def test_a_reply_that_cannot_be_read_was_paid_for() -> None:
    unreadable = Sample(answer("a", "a", problem="no completion"), CallError("unreadable", "no completion"))
    assert summed([Call("rationale", unreadable)])["rationale"] == sums(1, 2, 0, (20, 5, 9), 0.25)


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    known = Call("rationale", Sample(answer("a", "a"), None))
    unknown = Call("rationale", Sample(answer("b", "b", usd=None), None))
    assert summed([known], [unknown])["rationale"]["usd"] is None
    assert summed([unknown], [known])["rationale"]["usd"] is None


def test_the_runs_ledger_is_that_of_the_stages_that_have_finished(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert ledger.load(store) == LEDGER.empty_table()
    row = {"stage": "few_shot", "task": "t", "kind": "answer", **sums(1, 2, 0, (20, 5, 9), 0.25)}
    store.write("ledger_few_shot", pa.Table.from_pylist([row], LEDGER), "f")
    assert ledger.load(store).to_pylist() == [row]
    assert ledger.load(store, ["zero_shot"]).to_pylist() == []

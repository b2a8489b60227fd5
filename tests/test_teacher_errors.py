"""What an error reply is taken for: a pure function of status, body and headers; rules about money among them."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raydistill.teacher.api import error_classification, retries
from raydistill.teacher.api.dialect import load
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.redaction import Redactor

NO_CREDIT = "You exceeded your current quota, please check your plan and billing details."
TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
NOT_SUPPORTED = "Unsupported parameter: '{}' is not supported with this model."


def classify(
    status: int, error: Any = None, *, headers: dict[str, str] | None = None, n: int = 1, dialect: str = "completions"
) -> CallError:
    """Classify a response with the JSON body {"error": error}."""
    content = json.dumps({"error": error}).encode()
    return error_classification.of_response(status, content, load(dialect), httpx2.Headers(headers or {}), n)


@pytest.mark.parametrize("dialect", ["completions", "chat"])
@pytest.mark.parametrize(
    ("status", "error", "n", "expected"),
    [
        # (kind, code, param, fatal for all, retryable)
        (429, {"message": "slow down", "code": "rate_limit_exceeded"}, 1, ("rate_limit", "rate_limit_exceeded")),
        (429, {"message": "slow down"}, 1, ("rate_limit", "")),
        (429, {"message": NO_CREDIT, "code": "insufficient_quota"}, 1, ("fatal", "insufficient_quota", "", True)),
        (429, {"message": "limit", "code": "billing_hard_limit_reached"}, 1, ("fatal", "insufficient_quota", "", True)),
        (400, {"message": NO_CREDIT, "code": "insufficient_quota"}, 1, ("fatal", "insufficient_quota", "", True)),
        (408, {"message": "timeout"}, 1, ("transient", "")),
        (409, {"message": "conflict"}, 1, ("transient", "")),
        (425, {"message": "too early"}, 1, ("transient", "")),
        (500, {"message": "oops", "code": "internal"}, 1, ("transient", "internal")),
        (503, {"message": "busy"}, 1, ("transient", "")),
        (529, {"message": "overloaded"}, 1, ("transient", "")),
        (400, {"message": "too long", "code": "context_length_exceeded"}, 1, ("context_length",)),
        (400, {"message": TOO_LONG}, 1, ("context_length", "context_length_exceeded")),
        (413, {"message": "prompt is too long"}, 1, ("context_length", "context_length_exceeded")),
        (422, {"message": "the request exceeds the available context size"}, 4, ("context_length",)),
        (401, {"message": "bad key", "code": "invalid_api_key"}, 1, ("fatal", "invalid_api_key", "", True)),
        (402, {"message": "pay"}, 1, ("fatal", "", "", True)),
        (403, {"message": "not here"}, 1, ("fatal", "", "", True)),
        (404, {"message": "The model `m` does not exist"}, 1, ("fatal", "model_not_found", "", True)),
        (404, {"message": "no", "code": "model_not_found"}, 1, ("fatal", "model_not_found", "", True)),
        (400, {"message": "The model `m` does not exist"}, 1, ("fatal", "model_not_found")),
        (400, {"message": "unknown model m"}, 1, ("fatal", "model_not_found")),
        (400, {"message": "max_tokens or model output limit was reached."}, 1, ("fatal", "output_limit_reached")),
        (400, {"message": "bad", "param": "prompt"}, 1, ("fatal", "", "prompt")),
        (415, {"message": NOT_SUPPORTED.format("stop")}, 1, ("fatal",)),
        (500, {"message": NO_CREDIT, "code": "insufficient_quota"}, 1, ("transient", "insufficient_quota")),
        (404, {"message": TOO_LONG}, 1, ("fatal", "context_length_exceeded", "", True)),
        (400, {"message": "no", "code": "unsupported_value", "param": "seed"}, 1, ("refused", "unsupported_value")),
    ],
)
def test_kinds(status: int, error: dict[str, str], n: int, expected: tuple[str | bool, ...], dialect: str) -> None:
    call_error = classify(status, error, n=n, dialect=dialect)
    fields = (call_error.kind, call_error.code, call_error.param, call_error.fatal_for_all)
    assert fields[: len(expected)] == expected
    assert call_error.fatal_for_all == (len(expected) == 4)
    assert call_error.retryable == (expected[0] in ("rate_limit", "transient"))
    assert call_error.status == status
    assert call_error.message == f"HTTP {status}: {error['message']}"


@pytest.mark.parametrize(("status", "kind"), [(400, "fatal"), (429, "rate_limit"), (503, "transient")])
def test_an_error_that_names_another_address_is_no_redirect(status: int, kind: str) -> None:
    call_error = classify(status, {"message": "x"}, headers={"Location": "https://elsewhere.example"})
    assert (call_error.kind, call_error.message, call_error.fatal_for_all) == (kind, f"HTTP {status}: x", False)


@pytest.mark.parametrize(("status", "is_redirect"), [(300, True), (308, True), (399, True), (199, False)])
def test_redirects(status: int, is_redirect: bool) -> None:
    call_error = classify(status, {"message": "x"}, headers={"Location": "https://elsewhere.example"})
    assert call_error.kind == "fatal"
    assert ("redirected to https://elsewhere.example" in call_error.message) == is_redirect
    assert classify(status, {"message": "x"}).message == f"HTTP {status}: x"


def test_no_message_is_longer_than_a_page() -> None:
    assert len(classify(400, {"message": "x" * 5000}).message) == 1000
    assert len(classify(302, {}, headers={"Location": "x" * 5000}).message) == 1000


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_empty_account_is_not_waited_for(code: str) -> None:
    """It answers 429 like a rate limit, and no other call would pass either."""
    call_error = classify(429, {"message": NO_CREDIT, "code": code}, headers={"retry-after": "3"})
    assert call_error.kind == "fatal"
    assert call_error.fatal_for_all
    assert not call_error.retryable
    assert call_error.retry_after is None


@pytest.mark.parametrize(
    ("error", "n", "kind"),
    [
        ({"message": "only one is allowed", "param": "n"}, 4, "refused_n"),
        ({"message": "'n' must be 1"}, 4, "refused_n"),
        ({"message": "n > 1 is not supported"}, 2, "refused_n"),
        ({"message": "only one is allowed", "param": "n"}, 2, "refused_n"),
        ({"message": "only n=1"}, 2, "refused_n"),
        ({"message": "n_cmpl must be at most 2"}, 4, "refused_n"),
        ({"message": "multiple completions are not available"}, 4, "refused_n"),
        ({"message": "best_of must be 1"}, 4, "refused_n"),
        ({"message": "'n' must be 1"}, 1, "fatal"),  # none was requested: it is about something else
        ({"message": "only one is allowed", "param": "n"}, 1, "fatal"),
        ({"message": "cannot do this, nor that"}, 4, "fatal"),  # the letter within words
        ({"message": NOT_SUPPORTED.format("stop"), "param": "stop"}, 4, "refused"),
        ({"message": TOO_LONG + " n"}, 4, "context_length"),
    ],
)
def test_a_refused_n_is_told_from_other_refusals(error: dict[str, str], n: int, kind: str) -> None:
    for status in (400, 422):
        assert classify(status, error, n=n).kind == kind
    assert classify(500, error, n=n).kind == "transient"


@pytest.mark.parametrize(
    ("message", "param", "refused"),
    [
        (NOT_SUPPORTED.format("max_tokens") + " Use 'max_completion_tokens' instead.", None, "max_tokens"),
        (NOT_SUPPORTED.format("max_completion_tokens"), None, "max_completion_tokens"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", None, "temperature"),
        ("Input validation error: `temperature` must be strictly positive", None, "temperature"),
        ("Unrecognized request argument supplied", "seed", "seed"),
        ("stop: Extra inputs are not permitted", None, "stop"),
        ("Unsupported parameter: 'logprobs'", "logprobs", ""),
        ("max_tokens is too large: 64.", "max_tokens", ""),  # taken, but not this value
    ],
)
def test_a_refused_parameter_is_named_as_it_was_sent(message: str, param: str | None, refused: str) -> None:
    call_error = classify(400, {"message": message, "param": param})
    assert (call_error.kind == "refused") == bool(refused)
    assert call_error.param == (refused or param or "")


@pytest.mark.parametrize(
    ("error", "refused", "is_guess"),
    [
        ({"message": NOT_SUPPORTED.format("seed"), "param": "seed"}, "seed", False),
        ({"message": NOT_SUPPORTED.format("seed"), "param": "body.seed"}, "seed", False),
        ({"message": NOT_SUPPORTED.format("seed"), "code": "unsupported_parameter"}, "seed", False),
        ({"message": "seed: no", "type": "extra_forbidden"}, "seed", False),
        ({"message": "no", "code": "unknown_parameter", "param": "seed"}, "seed", False),
        ({"message": "no 0", "code": "unsupported_value", "param": "temperature"}, "temperature", False),
        ({"message": NOT_SUPPORTED.format("seed")}, "seed", True),
        ({"message": NOT_SUPPORTED.format("seed"), "param": "None"}, "seed", True),
        ({"message": NOT_SUPPORTED.format("seed"), "code": "400", "type": "invalid_request_error"}, "seed", True),
        ({"message": "Content not allowed by policy: how to stop a treatment"}, "stop", True),
        ({"message": "Not allowed: how to stop a treatment", "param": "messages"}, "", False),
        ({"message": "Not allowed: how to stop a treatment", "code": "content_filter", "param": "prompt"}, "", False),
        ({"message": "too large", "code": "invalid_value", "param": "max_tokens"}, "", False),
        ({"message": "no", "code": "unknown_parameter"}, "", False),
    ],
)
def test_what_the_server_names_is_believed_and_what_its_text_sounds_like_is_a_guess(
    error: dict[str, str], refused: str, is_guess: bool
) -> None:
    call_error = classify(400, error, dialect="chat")
    assert (call_error.kind == "refused") == bool(refused)
    assert call_error.is_guess == is_guess
    if refused:
        assert call_error.param == refused


@pytest.mark.parametrize(
    ("error", "kind", "is_guess"),
    [
        ({"message": "only one", "param": "n"}, "refused_n", False),
        ({"message": "This model does not support 'n' > 1.", "code": "unsupported_value"}, "refused_n", False),
        ({"message": "'n' must be 1"}, "refused_n", True),
        ({"message": "solve for n: not allowed", "param": "messages"}, "fatal", False),
        ({"message": "solve for n: not allowed", "code": "content_filter"}, "refused_n", True),
    ],
)
def test_a_refused_n_is_believed_by_its_name(error: dict[str, str], kind: str, is_guess: bool) -> None:
    call_error = classify(400, error, n=4)
    assert (call_error.kind, call_error.is_guess) == (kind, is_guess)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "Retry-After": "3"}, 0.25),
        ({"retry-after-ms": "-5"}, 0.0),
        ({"Retry-After": " 3 "}, 3.0),
        ({"Retry-After": "3, 7"}, 3.0),
        ({"retry-after-ms": "", "Retry-After": "3"}, 3.0),
        ({"retry-after-ms": "soon", "Retry-After": "3"}, 3.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"retry-after-ms": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert classify(status, {"message": "x"}, headers=headers).retry_after == seconds


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("offset", "least", "most"), [(30, 28, 30), (-30, 0, 0)])
def test_retry_after_as_a_date(status: int, offset: float, least: float, most: float) -> None:
    date = email.utils.formatdate(time.time() + offset, usegmt=True)
    retry_after = classify(status, {"message": "x"}, headers={"Retry-After": date}).retry_after
    assert retry_after is not None
    assert least <= retry_after <= most


@pytest.mark.parametrize("hours", [-24, -1, 0, 1, 24])
def test_a_date_counts_from_the_replys_own_date(hours: float) -> None:
    """A server whose clock is an hour ahead asks for 30 seconds, not for an hour."""
    servers_now = time.time() + 3600 * hours
    headers = {
        "Date": email.utils.formatdate(servers_now, usegmt=True),
        "Retry-After": email.utils.formatdate(servers_now + 30, usegmt=True),
    }
    assert classify(429, {"message": "x"}, headers=headers).retry_after == 30
    headers["Date"] = "yesterday"
    without = classify(429, {"message": "x"}, headers=headers).retry_after
    assert without is not None
    assert abs(without - max(0, 3600 * hours + 30)) < 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "9" * 400},
        {"Retry-After": "99999999999"},
        {"retry-after-ms": "inf"},
        {"retry-after-ms": "1e300"},
        {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"},
    ],
)
def test_no_wait_is_endless(headers: dict[str, str]) -> None:
    call_error = classify(429, {"message": "x"}, headers=headers)
    assert call_error.retry_after == retries.MOST_ASKED_S
    assert retries.backoff(1, 0.5, call_error) <= retries.LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("1d1h", 90_000),
        ("12ms", 0.012),
        ("1.5s", 1.5),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("500d", 366 * 86_400),
        ("1e400", 366 * 86_400),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert retries.duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_without_a_zone_is_in_universal_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        headers = {"Date": "Tue, 24 Nov 2026 10:00:00 GMT", "Retry-After": "Tue, 24 Nov 2026 10:00:30 -0000"}
        assert classify(429, {"message": "x"}, headers=headers).retry_after == 30
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@example("", "Mon, 01 Jan 0001 00:00:00 +2359", "")
@example("", "Fri, 31 Dec 9999 23:59:59 -2359", "")
@example("", "Mon, 01 Jan 2026 00:00:00 -0000", "Mon, 01 Jan 2026 00:00:00")
@example("nan", "\u0663", "9" * 400 + "d")
def test_whatever_a_header_holds_a_wait_is_finite(milliseconds: str, seconds: str, date: str) -> None:
    headers = {"retry-after-ms": milliseconds, "retry-after": seconds, "date": date}
    for wait_s in (retries.retry_after(headers), retries.duration(milliseconds), retries.duration(date)):
        assert wait_s is None or 0 <= wait_s <= retries.MOST_ASKED_S


def test_a_call_waits_as_long_as_the_server_asks_within_a_minute() -> None:
    asked = classify(503, {"message": "x"}, headers={"Retry-After": "45"})
    assert retries.backoff(1, 0.5, asked) == 45
    day = classify(429, {"message": "x"}, headers={"Retry-After": "86400"})
    assert retries.backoff(1, 0.5, day) <= 0.5  # nobody waits for it
    assert day.retry_after == 86400  # which the governor decides about
    silent = classify(503, {"message": "x"})
    for attempt in range(1, 12):
        ceiling = min(retries.LONGEST_WAIT_S, 0.5 * 2 ** (attempt - 1))
        for _ in range(20):
            assert ceiling / 2 <= retries.backoff(attempt, 0.5, silent) <= ceiling
    assert retries.backoff(10_000, 0.5, silent) <= retries.LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>busy</html>", "HTTP 502: <html>busy</html>"),
        (b"", "HTTP 502: Bad Gateway"),
        (b'{"error": "text"}', "HTTP 502: text"),
        (b'{"error": ["text"]}', 'HTTP 502: {"error": ["text"]}'),
        (b'{"detail": "text"}', 'HTTP 502: {"detail": "text"}'),
        (b'{"error": {"message": {"detail": 1}}}', 'HTTP 502: {"error": {"message": {"detail": 1}}}'),
        (b'{"message": "without the error object", "code": 7}', "HTTP 502: without the error object"),
        (b"\xff" * 400, "HTTP 502: " + "�" * 300),
    ],
)
def test_bodies_of_another_form(content: bytes, message: str) -> None:
    call_error = error_classification.of_response(502, content, load("chat"))
    assert (call_error.kind, call_error.message) == ("transient", message)


def test_a_secret_is_hidden_in_the_text_and_its_representation() -> None:
    call_error = classify(401, {"message": "Incorrect API key provided: sk-123456."})
    call_error.hide(Redactor("sk-123456").mask_text)
    assert call_error.message == str(call_error) == "HTTP 401: Incorrect API key provided: ***."
    assert "sk-123456" not in repr(call_error)

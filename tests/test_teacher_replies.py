"""What the body of a 2xx is read as: a completion in any shape that servers give it, an error, or neither."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raydistill.teacher.api.dialect import load
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.api.usage import StatedUsage

read = load("chat").read_reply


def body(content: Any, **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], **fields}).encode()


def error_of(content: bytes, dialect: str = "chat") -> CallError:
    with pytest.raises(CallError) as caught:
        load(dialect).read_reply(content)
    return caught.value


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("It is 5.", "It is 5."),
        (None, ""),
        ("", ""),
        ([], ""),
        ([{"type": "text", "text": "It "}, {"type": "text", "text": "is 5."}], "It is 5."),
        ([{"type": "output_text", "text": "It "}, "is 5."], "It is 5."),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "2 + 3"}]}, {"text": "It is 5."}], "It is 5."),
        ([{"type": "image_url", "image_url": {"url": "x"}}], ""),
        ("half a pair \ud83d", "half a pair ?"),
    ],
)
def test_the_text_of_a_message(content: Any, text: str) -> None:
    assert read(body(content)).texts == [text]


@pytest.mark.parametrize("content", [5, True, {"text": "a"}, [5], [None], [{"type": "text"}], [{"parts": ["a"]}]])
def test_a_text_in_a_shape_that_nobody_knows_is_kept_unread(content: Any) -> None:
    error = error_of(body(content))
    assert (error.kind, error.retryable, error.is_unknown) == ("unreadable", False, True)


STREAM = b'data: {"choices": [{"index": 0, "delta": {"content": "It is 5."}}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html><body>Welcome</body></html>",
        STREAM,
        b'{"choices": [{"message": {"content": "It i',
        b"null",
        b"[1, 2]",
        b"12",
        b'"text"',
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": {"a": 1}}',
        b'{"choices": "text"}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"text": "of the other dialect"}]}',
        b'{"choices": [], "error": null}',
        b"[" * 100_000,
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_completion_is_not_bought_again(content: bytes) -> None:
    error = error_of(content)
    assert (error.kind, error.retryable, error.is_unknown, error.fatal_for_all) == ("unreadable", False, True, False)
    assert len(error.message) < 800


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + body("It is 5."),
        b"\n\n \n" + body("It is 5."),
        body("It is 5.") + b"\n\x00junk",
        body("It is 5.") * 2,
        body("It is 5.").decode().encode("utf-16"),
    ],
    ids=["mark", "padded", "junk after", "doubled", "UTF-16"],
)
def test_bytes_around_a_completion_cost_no_answer(content: bytes) -> None:
    assert read(content).texts == ["It is 5."]


def test_bytes_in_a_text_that_are_not_allowed_there_cost_no_answer() -> None:
    assert read(body("It is X.").replace(b"X", b"\xff")).texts == ["It is \N{REPLACEMENT CHARACTER}."]
    assert read(body("It is X.").replace(b"X", b"\n\x01")).texts == ["It is \n\x01."]


def test_samples_are_told_by_their_index() -> None:
    def choices(*indices: Any) -> bytes:
        parts = [{"index": index, "message": {"content": str(index)}} for index in indices]
        return json.dumps({"choices": parts}).encode()

    assert read(choices(2, 0, 1)).texts == ["0", "1", "2"]
    assert read(choices(None, None)).texts == ["None", "None"]
    assert read(choices("b", "a", [1])).texts == ["b", "a", "[1]"]  # no indices: as they come


def test_what_a_bill_is_reconciled_by_is_read() -> None:
    reply = read(body("a", id="chatcmpl-1", model="m-2025-08-07", system_fingerprint="fp_1", usage={}))
    assert reply == Reply(["a"], ["stop"], StatedUsage(), "chatcmpl-1", "m-2025-08-07", "fp_1")
    odd = read(body("a", id=7, model=None, system_fingerprint=["fp"]))
    assert (odd.id, odd.model, odd.fingerprint) == ("", "", "")
    assert read(body("a", id="\ud83d")).id == "?"


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "upstream overloaded", "code": 502}, "transient", 502),
        ({"message": "slow down", "code": 429}, "rate_limit", 429),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "rate_limit", 429),
        ({"message": "slow down", "type": "rate_limit_error"}, "rate_limit", 429),
        ({"message": "slow down", "status": "RESOURCE_EXHAUSTED", "code": "429"}, "rate_limit", 429),
        ({"message": "boom", "type": "server_error", "code": None}, "transient", 500),
        ({"message": "boom", "code": "internal_error"}, "transient", 500),
        ({"message": "busy", "type": "overloaded_error"}, "transient", 500),
        ({"message": "hiccup"}, "transient", 500),
        ({"message": "hiccup", "code": 7}, "transient", 500),
        ({"message": "hiccup", "code": "9" * 30}, "transient", 500),
        ({"message": "hiccup", "code": "²"}, "transient", 500),
        ({"message": "hiccup", "code": 399}, "transient", 500),
        ({"message": "hiccup", "code": 600}, "transient", 500),
        ({"message": "hiccup", "code": "5030"}, "transient", 500),
        ({"message": "hiccup", "code": 599}, "transient", 599),
        ({"message": "no", "code": "400"}, "fatal", 400),
        ({"message": "no", "type": "forbidden"}, "fatal", 403),
        ({"message": "no", "code": "unauthorized"}, "fatal", 401),
        ({"message": "no", "code": "unauthenticated"}, "fatal", 401),
        ({"message": "no", "code": "not_found"}, "fatal", 404),
        ({"message": "no", "code": "bad_request"}, "fatal", 400),
        ({"message": "no", "code": "unknown_parameter"}, "fatal", 400),
        ("hiccup", "transient", 500),
        ({"message": "no", "type": "invalid_request_error"}, "fatal", 400),
        ({"message": "no", "code": "content_filter", "type": "invalid_request_error"}, "fatal", 400),
        ({"message": "long", "code": "context_length_exceeded"}, "context_length", 400),
        ({"message": "no 'seed'", "code": "unsupported_parameter", "param": "seed"}, "refused", 400),
        ({"message": "bad key", "code": "invalid_api_key"}, "fatal", 401),
        ({"message": "bad key", "type": "authentication_error"}, "fatal", 401),
        ({"message": "no", "type": "permission_error"}, "fatal", 403),
        ({"message": "no", "code": "model_not_found"}, "fatal", 404),
        ({"message": "pay", "code": "insufficient_quota"}, "fatal", 429),
        ({"message": "pay", "type": "insufficient_quota"}, "fatal", 429),
    ],
)
def test_an_error_with_a_status_of_success_is_what_it_says(error: Any, kind: str, status: int) -> None:
    """What it took nobody knows: it counts at its reservation."""
    for content in ({"error": error}, {"error": error, "choices": []}, {"error": error, "choices": [{"text": None}]}):
        call_error = error_of(json.dumps(content).encode())
        assert (call_error.kind, call_error.status, call_error.is_unknown) == (kind, status, True)
        assert call_error.fatal_for_all == (kind == "fatal" and status in (401, 403, 404, 429))
        assert call_error.message.startswith("HTTP 200 with an error: ")


def test_errors_in_other_places_of_a_reply() -> None:
    flat = {"object": "error", "message": "CUDA out of memory", "type": "InternalServerError", "code": 500}
    assert (error_of(json.dumps(flat).encode()).kind, error_of(json.dumps(flat).encode()).status) == ("transient", 500)
    choice = {"message": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "lost"}}
    call_error = error_of(json.dumps({"choices": [choice]}).encode())
    assert (call_error.kind, call_error.status) == ("transient", 502)
    assert "lost" in call_error.message


def test_a_text_beside_an_error_was_paid_for_and_is_read() -> None:
    assert read(body("It is 5.", error={"message": "moderation is down", "code": 503})).texts == ["It is 5."]


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
WHOLE = {
    "id": "chatcmpl-1",
    "model": "m",
    "choices": [{"index": 0, "text": "a", "message": {"content": "a"}, "finish_reason": "stop", "error": None}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}},
    "error": {"message": "no", "code": "c", "param": "p", "type": "t"},
    "object": "chat.completion",
}


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all values within `value`."""
    places = [path] if path else []
    if isinstance(value, dict):
        for name in value:
            places += paths(value[name], (*path, name))
    if isinstance(value, list):
        for i in range(len(value)):
            places += paths(value[i], (*path, i))
    return places


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Draw a completion with one to four values replaced or left out, and perhaps cut."""
    mutant = json.loads(json.dumps(WHOLE))
    for _ in range(draw(st.integers(1, 4))):
        *above, last = draw(st.sampled_from(paths(mutant) or [("id",)]))
        holder = mutant
        for name in above:
            holder = holder[name]
        if draw(st.booleans()):
            holder[last] = draw(values)
        elif isinstance(holder, dict):
            holder.pop(last, None)
    content = json.dumps(mutant).encode()
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@given(st.one_of(st.binary(max_size=200), mutants(), values.map(lambda value: json.dumps(value).encode())))
@example(b'{"error": {"message": ' + b'{"a": ' * 900 + b"1" + b"}" * 900 + b"}}")
@example(b'{"choices": [{"text": "a"}], "usage": {"total_tokens": 1e999}}')
@example(b'{"error": {"message": "\\ud800", "code": "\\ud800"}}')
def test_nothing_that_a_server_sends_is_more_than_an_error(content: bytes) -> None:
    for name in ("chat", "completions"):
        dialect = load(name)
        error: CallError | None = None
        try:
            reply = dialect.read_reply(content)
        except CallError as call_error:
            error = call_error
        if error is not None:
            f"{error.message}{error.code}{error.param}".encode()  # has a UTF-8 form, as tables need
            assert error.is_unknown
        else:
            assert len(reply.texts) == len(reply.finish_reasons) > 0
            "".join([*reply.texts, *reply.finish_reasons, reply.id, reply.model, reply.fingerprint]).encode()
        dialect.read_models(content)
        stated = dialect.read_error(400, content)
        "".join([stated.code, stated.param, stated.message, stated.type]).encode()

"""The API key, whole or cut, is in nothing that a server sent back."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from support.http_server import Handler, serving

from raydistill.teacher.api.client import Client
from raydistill.teacher.api.dialect import load
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.redaction import LONGEST_PART, Redactor
from raydistill.teacher.api.request import Request

KEY = "-".join(f"{word}{i}{word.upper()}" for i, word in enumerate(["test", "key", "nobody", "has_ever", "used"] * 3))
REQUEST = Request("https://api.example/v1", "chat", "m", "Q: 3 + 2?", 16, 0.0)

keys = st.one_of(
    st.text("ab", min_size=4, max_size=40),
    st.text("abcXYZ012-_/+=.", min_size=4, max_size=60),
)


def windows(key: bytes) -> set[bytes]:
    """Return the runs of the key that must not be seen: all of twelve bytes, or a shorter key itself."""
    length = min(len(key), LONGEST_PART + 1)
    return {key[i : i + length] for i in range(len(key) - length + 1)}


@st.composite
def echoes(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a key and a body of other text and parts of the key."""
    key = draw(keys)
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(key)))
        parts += [draw(st.text("abX0-/ é", max_size=6)), key[start : draw(st.integers(start, len(key)))]]
    return key, "".join(parts).encode()


@given(echoes())
@example(("a" * 12, b"a" * 17))
@example(("abcdefghijklmnop", b"klmnopabcdefghijklmnopabcdefghijkl"))
def test_no_run_of_twelve_characters_of_the_key_is_left(echo: tuple[str, bytes]) -> None:
    key, content = echo
    masked = Redactor(key).mask(content)
    for window in windows(key.encode()):
        assert window not in masked
    if not any(window in content for window in windows(key.encode())):
        assert masked == content


LETTERS = "thequickbrownfxjmpsvlazydg"


@pytest.mark.parametrize(
    "key", [LETTERS, LETTERS.upper(), LETTERS + LETTERS.upper() + "0123456789", KEY[:50]], ids=lambda key: key[:30]
)
def test_every_run_of_twelve_is_masked_wherever_it_stands_and_none_of_eleven(key: str) -> None:
    redactor = Redactor(key)
    for start in range(len(key) - 11):
        run = key[start : start + 12]
        assert redactor.mask_answer(run.encode()) == b"***"
        assert redactor.mask_answer(f"{run}. {run} {run}".encode()) == b"***. *** ***"
        part = f"{run[:11]} {run[1:]}.".encode()
        assert redactor.mask_answer(part) == part


@given(st.binary(max_size=200))
def test_what_is_no_part_of_the_key_stays(content: bytes) -> None:
    assert Redactor(KEY).mask(content) == content


def test_what_surrounds_the_key_stays() -> None:
    redactor = Redactor(KEY)
    assert redactor.mask(f"key {KEY}.".encode()) == b"key ***."
    assert redactor.mask(f"key {KEY[3:40]}, cut".encode()) == b"key ***, cut"
    assert redactor.mask(f"{KEY[:11]} {KEY[20:31]}".encode()) == f"{KEY[:11]} {KEY[20:31]}".encode()
    assert redactor.mask_text(f"é {KEY[:12]} \ud800") == "é *** ���"
    assert redactor.mask_text("é \ud800") == "é \ud800"


def test_the_key_is_found_as_json_and_addresses_write_it() -> None:
    key = 'ab/cd+ef"12/34gh/ij'
    redactor = Redactor(key)
    for written in (json.dumps(key), json.dumps(key).replace("/", "\\/"), "ab%2Fcd%2Bef%2212%2F34gh%2Fij"):
        assert b"34gh" not in redactor.mask(written.encode())


@pytest.mark.parametrize("key", ["none", "EMPTY", "1234", "local", "lm-studio", "placeholder", "01234567890"])
def test_a_placeholder_is_not_struck_out_of_answers(key: str) -> None:
    """Servers on one's own machine are given such keys; the teacher's words are kept as they came."""
    content = f"The answer is {key}.".encode()
    assert Redactor(key).mask_answer(content) == content
    assert Redactor(key).mask(content) == b"The answer is ***."


def test_short_keys() -> None:
    assert Redactor("abc").mask(b"abc") == b"abc"
    assert Redactor("").mask(b"abc") == b"abc"
    assert Redactor("nothing-more").mask_answer(b"nothing-more") == b"***"
    assert Redactor("sk-1234").mask_answer(b"key sk-1234, sk-123") == b"key ***, sk-123"


def send(handler: Handler, key: str = KEY) -> str:
    """Return all that is seen of a call that `handler` answers."""

    async def talk() -> str:
        async with serving(handler) as base_url:
            client = Client(base_url, key, 5, "chat")
            try:
                response = await client.send(REQUEST, [0])
            except CallError as error:
                return f"{error} {error!r} {error.message} {error.code} {error.param}"
            finally:
                await client.close()
            try:
                return f"{response.content!r} {load('chat').read_reply(response.content)}"
            except CallError as error:
                return f"{response.content!r} {error!r}"

    return asyncio.run(talk())


@pytest.mark.parametrize("status", [200, 401, 403, 500, 302])
@pytest.mark.parametrize("length", [12, 60, len(KEY)])
@pytest.mark.parametrize("offset", [0, 60, 110, 200, 290, 63_990])
def test_a_page_that_repeats_the_headers_shows_nothing_of_the_key(status: int, length: int, offset: int) -> None:
    """Whatever is cut to length is cut after the key was masked."""

    async def answer(http: web.Request) -> web.Response:
        key = http.headers["Authorization"].removeprefix("Bearer ")[:length]
        headers = {"Location": f"http://127.0.0.1/{key}"} if status == 302 else {}
        return web.Response(text="x" * offset + key + "y" * 50, status=status, headers=headers)

    seen = send(answer)
    for window in windows(KEY.encode()):
        assert window.decode() not in seen


def test_a_code_and_a_parameter_that_repeat_the_key_do_not_show_it() -> None:
    async def answer(http: web.Request) -> web.Response:
        error = {"message": f"bad\\u002d {KEY}", "code": KEY[:30], "param": KEY[5:]}
        return web.json_response({"error": error}, status=400)

    seen = send(answer)
    for window in windows(KEY.encode()):
        assert window.decode() not in seen


def test_the_key_in_an_answer_is_masked_before_anybody_keeps_it() -> None:
    async def answer(http: web.Request) -> web.Response:
        message = {"content": f"Your key is {KEY[:50]}, is it not?"}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})

    assert "Your key is ***, is it not?" in send(answer)


def test_a_placeholder_is_masked_in_errors_and_left_in_answers() -> None:
    async def answer(http: web.Request) -> web.Response:
        return web.json_response({"choices": [{"message": {"content": "none of them"}}]})

    async def reject(http: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "bad key none"}}, status=401)

    assert "none of them" in send(answer, "none")
    assert "bad key ***" in send(reject, "none")

"""A call was answered, or it failed, or nobody knows: what is lost on the way may have been paid."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import openai
import pytest
from aiohttp import web
from support.http_server import Talk, listening, read_request, serving

from raydistill.teacher.api import exchange
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request
from raydistill.teacher.api.response import Response

KEY = "sk-test-0123456789"
REQUEST = Request("https://api.example/v1", "chat", "m", "Q: 3 + 2?", 16, 0.0)
BODY = json.dumps({"choices": [{"message": {"content": "It is 5."}, "finish_reason": "stop"}]}).encode()


async def call(base_url: str, timeout_s: float = 5.0) -> Response:
    client = Client(base_url, KEY, timeout_s, "chat")
    try:
        return await client.send(REQUEST, [0])
    finally:
        await client.close()


def send_to(server: AbstractAsyncContextManager[str], timeout_s: float = 5.0) -> Response:
    async def talk() -> Response:
        async with server as base_url:
            return await call(base_url, timeout_s)

    return asyncio.run(talk())


def error_from(server: AbstractAsyncContextManager[str], timeout_s: float = 5.0) -> CallError:
    with pytest.raises(CallError) as caught:
        send_to(server, timeout_s)
    return caught.value


def replying(*parts: bytes, then: str = "close") -> Talk:
    """Read the request, write `parts` and close the connection, reset it or hold it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        if then == "hold":
            await reader.read()
        if then == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return talk


def head(length: int | None, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)


LOST = {
    "closed": replying(),
    "reset": replying(then="reset"),
    "cut head": replying(b"HTTP/1.1 200"),
    "cut body": replying(head(len(BODY)), BODY[:20]),
    "reset in the body": replying(head(len(BODY)), BODY[:20], then="reset"),
    "no last chunk": replying(head(None), CHUNK),
    "cut chunk": replying(head(None), CHUNK[:10]),
    "no HTTP": replying(b"no HTTP at all\r\n\r\n"),
    "no gzip": replying(head(4, "200 OK", "Content-Encoding: gzip"), b"zip?"),
    "endless head": replying(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100_000),
}


@pytest.mark.parametrize("talk", LOST.values(), ids=LOST)
def test_what_is_lost_on_the_way_may_have_been_paid(talk: Talk) -> None:
    error = error_from(listening(talk))
    assert (error.kind, error.is_unknown, error.status) == ("transient", True, None)
    assert error.message


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(head(1000))
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


SLOW = {
    "nothing": replying(then="hold"),
    "half a head": replying(b"HTTP/1.1 200 OK\r\n", then="hold"),
    "half a body": replying(head(len(BODY)), BODY[:20], then="hold"),
    "a body that trickles": trickling,
}


@pytest.mark.parametrize("talk", SLOW.values(), ids=SLOW)
def test_what_times_out_may_have_been_paid(talk: Talk) -> None:
    start = time.monotonic()
    error = error_from(listening(talk), timeout_s=0.2)
    assert time.monotonic() - start < 0.2 + exchange.GRACE_S + 1
    assert (error.kind, error.is_unknown) == ("transient", True)
    assert "0.2 s" in error.message
    assert "--teacher.timeout" in error.message


def test_what_was_never_sent_costs_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}/v1", "http://127.0.0.1:1/v1"):
        with pytest.raises(CallError) as caught:
            asyncio.run(call(address))
        assert (caught.value.kind, caught.value.is_unknown, caught.value.fatal_for_all) == ("transient", False, False)
        assert "127.0.0.1" in caught.value.message


def test_a_server_that_speaks_no_tls_was_sent_nothing() -> None:
    async def talk() -> None:
        async with listening(replying(b"no TLS")) as base_url:
            await call(base_url.replace("http://", "https://"))

    with pytest.raises(CallError) as caught:
        asyncio.run(talk())
    assert (caught.value.kind, caught.value.is_unknown) == ("transient", False)


def test_a_connection_that_is_not_made_in_time_was_sent_nothing() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(8):  # the queue of connections that nobody accepts is full
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        try:
            with pytest.raises(CallError) as caught:
                asyncio.run(call(f"http://127.0.0.1:{port}/v1", 0.3))
        finally:
            for connection in waiting:
                connection.close()
    assert (caught.value.kind, caught.value.is_unknown) == ("transient", False)
    assert "0.3 s" in caught.value.message


@pytest.mark.parametrize("status", [400, 401, 408, 413, 429, 500, 502, 503, 504, 520, 524, 529, 599])
def test_an_error_status_costs_nothing_unless_a_gateway_speaks_for_a_server_behind_it(status: int) -> None:
    async def answer(http: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=status)

    error = error_from(serving(answer))
    assert (error.status, error.is_unknown) == (status, status in (502, 504, 520, 524))


def test_an_error_that_says_that_tokens_were_generated_may_have_been_paid() -> None:
    message = "Could not finish the message because max_tokens or model output limit was reached."

    async def answer(http: web.Request) -> web.Response:
        return web.json_response({"error": {"message": message}}, status=400)

    error = error_from(serving(answer))
    assert (error.kind, error.code, error.is_unknown) == ("fatal", "output_limit_reached", True)


@pytest.mark.parametrize("then", ["close", "reset", "hold"])
def test_the_status_of_an_error_counts_though_its_body_does_not_come(then: str) -> None:
    talk = replying(head(100, "429 Slow Down", "Retry-After: 7"), b'{"error"', then=then)
    error = error_from(listening(talk), timeout_s=0.3)
    assert (error.kind, error.status, error.retry_after, error.is_unknown) == ("rate_limit", 429, 7.0, False)


def test_a_reply_is_read_in_any_encoding_of_its_bytes() -> None:
    packed = gzip.compress(BODY)
    odd = [
        replying(head(len(packed), "200 OK", "Content-Encoding: gzip"), packed),
        replying(head(None), CHUNK, b"0\r\n\r\n"),
        replying(head(len(BODY), "200 \xc4", "X: \xe9"), BODY),
        replying(b"HTTP/1.0 200 OK\r\n\r\n", BODY),
        replying(head(len(BODY), "201 Created", "Set-Cookie: ;;="), BODY),
    ]
    for talk in odd:
        response = send_to(listening(talk))
        assert (response.content, response.is_cut) == (BODY, False)


def test_a_body_of_no_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 bodies of 30 MB at once would not fit in memory; the beginning says what it is."""
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 200_000)
    chunk = b"%x\r\n%s\r\n" % (2**16, b"x" * 2**16)
    response = send_to(listening(replying(head(None), *[chunk] * 8, then="hold")))
    assert (response.content, response.is_cut) == (b"x" * exchange.KEPT_BYTES, True)
    whole = send_to(listening(replying(head(200_000), b"x" * 200_000)))
    assert (len(whole.content), whole.is_cut) == (200_000, False)
    error = error_from(listening(replying(head(None, "400 Bad Request"), *[chunk] * 8, then="hold")))
    assert (error.status, error.kind) == (400, "fatal")
    assert len(error.message) < 1000


def test_what_is_kept_of_a_body() -> None:
    assert (exchange.MAX_BODY_BYTES, exchange.KEPT_BYTES) == (16_777_216, 64_000)


def test_a_body_that_is_cut_frees_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 10)
    talk = replying(head(1000), b"x" * 500, then="hold")

    async def send_twice() -> list[Response]:
        async with listening(talk) as base_url:
            client = Client(base_url, KEY, 5, "chat", connections=1)
            try:
                first = await client.send(REQUEST, [0])
                return [first, await asyncio.wait_for(client.send(REQUEST, [0]), 3)]
            finally:
                await client.close()

    assert [response.is_cut for response in asyncio.run(send_twice())] == [True, True]


@pytest.mark.parametrize("status", [302, 404, 405, 501])
def test_a_server_need_not_list_its_models(status: int) -> None:
    assert models(lambda: web.Response(status=status, headers={"Location": "/elsewhere"})) is None


def test_the_list_of_models() -> None:
    listed = {"data": [{"id": "a"}, {"id": "b"}]}
    assert models(lambda: web.json_response(listed)) == ["a", "b"]
    assert models(lambda: web.Response(text="<html>")) is None
    for status in (401, 406, 500, 502):
        with pytest.raises(CallError) as caught:
            models(lambda status=status: web.Response(status=status))
        assert caught.value.status == status


def models(make: Callable[[], web.Response]) -> list[str] | None:
    async def answer(http: web.Request) -> web.Response:
        assert (http.method, http.path) == ("GET", "/v1/models")
        assert http.headers["Authorization"] == f"Bearer {KEY}"
        return make()

    async def talk() -> list[str] | None:
        async with serving(answer) as base_url:
            client = Client(base_url, KEY, 5, "chat")
            try:
                return await client.models()
            finally:
                await client.close()

    return asyncio.run(talk())


def test_the_sdk_sends_nothing_twice_by_itself() -> None:
    requests = 0

    async def answer(http: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        return web.Response(status=500)

    async def talk() -> CallError:
        async with serving(answer) as base_url:
            client = Client(base_url, KEY, 5, "chat")
            with pytest.raises(openai.APIStatusError) as caught:
                await client.openai.batches.retrieve("batch_1")
            await client.close()
            return client.call_error(caught.value)

    error = asyncio.run(talk())
    assert (error.kind, error.status, requests) == ("transient", 500, 1)


def test_packed_bodies_are_measured_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 200_000)
    packed = gzip.compress(b"x" * 50_000_000)
    assert len(packed) < 100_000
    response = send_to(listening(replying(head(len(packed), "200 OK", "Content-Encoding: gzip"), packed)))
    assert (len(response.content), response.is_cut) == (exchange.KEPT_BYTES, True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/login?next=v1", "https://elsewhere.example/v1", "http://[broken"])
def test_redirects_are_not_followed(status: int, location: str) -> None:
    paths = []

    async def answer(http: web.Request) -> web.Response:
        paths.append(http.path)
        return web.Response(status=status, headers={"Location": location})

    error = error_from(serving(answer))
    assert paths == ["/v1/chat/completions"]
    assert (error.kind, error.status, error.fatal_for_all, error.is_unknown) == ("fatal", status, True, False)
    assert f"redirected to {location}" in error.message
    assert "--teacher.base_url" in error.message


def test_a_status_that_is_neither_success_nor_error_is_no_answer() -> None:
    error = error_from(listening(replying(b"HTTP/1.1 304 Not Modified\r\n\r\n")))
    assert (error.kind, error.status) == ("fatal", 304)


def test_a_wait_for_a_connection_does_not_count_as_the_servers_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight calls of 0.2 s over two connections take 0.8 s, none of them more than its 0.5 s."""
    monkeypatch.setattr(exchange, "GRACE_S", 0)
    at_once = 0
    most = 0

    async def answer(http: web.Request) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.2)
        at_once -= 1
        return web.Response(body=BODY)

    async def talk() -> list[Response]:
        async with serving(answer) as base_url:
            client = Client(base_url, KEY, 0.5, "chat", connections=2)
            try:
                return await asyncio.gather(*(client.send(REQUEST, [0]) for _ in range(8)))
            finally:
                await client.close()

    assert [response.content for response in asyncio.run(talk())] == [BODY] * 8
    assert most == 2


def test_a_call_that_is_given_up_frees_its_connection() -> None:
    async def answer(http: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(body=BODY)

    async def talk() -> Response:
        async with serving(answer) as base_url:
            client = Client(base_url, KEY, 5, "chat", connections=1)
            try:
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(client.send(REQUEST, [0]), 0.05)
                return await asyncio.wait_for(client.send(REQUEST, [0]), 3)
            finally:
                await client.close()

    assert asyncio.run(talk()).content == BODY


def test_a_key_that_no_header_can_hold_is_said() -> None:
    for key in ("sk-0123456789\nX: y", "sk-0123456789-é€"):

        async def talk(key: str) -> None:
            client = Client("http://127.0.0.1:1/v1", key, 5, "chat")
            try:
                await client.send(REQUEST, [0])
            finally:
                await client.close()

        with pytest.raises(CallError) as caught:
            asyncio.run(talk(key))
        error = caught.value
        assert (error.kind, error.fatal_for_all, error.is_unknown) == ("fatal", True, False)
        assert "API key" in error.message
        assert "0123456789" not in error.message

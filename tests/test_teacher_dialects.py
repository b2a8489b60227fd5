"""Dialects: the bytes on the wire and in the journal's keys, and a new dialect as one file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from raydistill.teacher import api
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.dialect import load
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.api.request import Request
from raydistill.teacher.api.usage import StatedUsage
from raydistill.teacher.limits.messages import RateLimits

URL = "https://api.example/v1"
PROMPT = 'Q: é?\n"A":'
COMPLETION = Request(URL, "completions", "m", PROMPT, 8, 0.7, ("\nQ:",), 1)
CHAT = Request(URL, "chat", "m", PROMPT, 8, None, (), None, "max_completion_tokens")


def test_journal_keys_never_change() -> None:
    """Answers that were paid for long ago are looked up by these."""
    assert COMPLETION.keys([0, 3]) == [
        "3e0a159924f5400c0bfcd01de52c27e539eaa2f1c7f3930572ade02420ff6dae",
        "91b6f0dc65aceb135c8d4bbd8aaccc102d78e0f9bc8ffce53c0d108706aa44ff",
    ]
    assert CHAT.keys([0, 3]) == [
        "3b96cadc48af8d1e87ecb687b2876d8e055f3938a759fe03ae63756e4c2792a3",
        "0a542af5dcb4bcc47048b7ac7c1085d6bfa196c03badb291584504383071193c",
    ]


def test_the_canonical_request_never_changes() -> None:
    assert json.dumps(COMPLETION.canonical(), ensure_ascii=False) == (
        '{"base_url": "https://api.example/v1", "endpoint": "completions", "model": "m", "prompt": "Q: é?\\n\\"A\\":", '
        '"max_tokens": 8, "temperature": 0.7, "stop": ["\\nQ:"], "seed": 1}'
    )
    assert json.dumps(CHAT.canonical(), ensure_ascii=False) == (
        '{"base_url": "https://api.example/v1", "endpoint": "chat", "model": "m", '
        '"messages": [{"role": "user", "content": "Q: é?\\n\\"A\\":"}], '
        '"max_completion_tokens": 8, "temperature": null, "stop": [], "seed": null}'
    )


def test_bodies() -> None:
    assert COMPLETION.body([2, 3]) == {
        "model": "m",
        "prompt": PROMPT,
        "max_tokens": 8,
        "temperature": 0.7,
        "n": 2,
        "stop": ["\nQ:"],
        "seed": 3,  # moved on by the first sample's index
    }
    assert CHAT.body([5]) == {
        "model": "m",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_completion_tokens": 8,
    }


@pytest.mark.parametrize("request_", [COMPLETION, CHAT])
def test_a_request_is_read_back_from_its_batch_line(request_: Request) -> None:
    dialect = load(request_.dialect)
    line = dialect.batch_line(request_, [2, 3], "id")
    assert line.endswith(b"\n")
    assert json.loads(line)["url"] == f"/v1{dialect.path}"
    custom_id, back = dialect.read_batch_line(line, URL, {"id": [2, 3]})
    assert (custom_id, back) == ("id", request_)
    assert back.keys([2, 3]) == request_.keys([2, 3])


def reply_body(dialect: str, texts: list[str | None], **fields: Any) -> bytes:
    choices = []
    for i, text in enumerate(texts):
        content: dict[str, Any] = {"text": text} if dialect == "completions" else {"message": {"content": text}}
        choices.append({"index": i, "finish_reason": "stop", **content})
    choices.reverse()  # servers promise no order
    return json.dumps({"choices": choices, **fields}).encode()


@pytest.mark.parametrize("name", ["completions", "chat"])
def test_replies(name: str) -> None:
    read = load(name).read_reply
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    reply = read(reply_body(name, ["a", None, "c"], usage=usage, id="r-1", model="m-2", system_fingerprint="fp"))
    assert reply == Reply(["a", "", "c"], ["stop"] * 3, StatedUsage(9, 5, 4), "r-1", "m-2", "fp")
    letters: list[str | None] = [*"abcdefghijkl"]
    assert read(reply_body(name, letters)).texts == letters  # by index, whatever order they come in


def test_rate_headers() -> None:
    read = load("chat").read_rate_limits
    headers = {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "90000",
        "x-ratelimit-remaining-tokens": "12",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert read(headers) == RateLimits(600, 90_000, 0.1)  # one of 600 a minute fits
    headers["x-ratelimit-remaining-tokens"] = "0"
    assert read(headers) == RateLimits(600, 90_000, 1.0)
    for junk in ("junk", "inf", "nan", "-5", "0"):
        assert read({"x-ratelimit-limit-tokens": junk}) == RateLimits(None, None, 0.0)
    assert read({"retry-after": "3"}) is None


MESSAGES = """
import dataclasses
import json
from raydistill.teacher.api.chat import DIALECT as CHAT
from raydistill.teacher.api.dialect import ErrorReply
from raydistill.teacher.api.reply import Reply
from raydistill.teacher.api.usage import StatedUsage

def headers(key):
    return {"x-api-key": key, "anthropic-version": "2023-06-01"}

def body(request, samples):
    fields = {"model": request.model, "messages": CHAT.prompt_value(request.prompt), "max_tokens": request.max_tokens}
    return fields | ({"stop_sequences": list(request.stop)} if request.stop else {})

def read_reply(content):
    message = json.loads(content)
    usage = StatedUsage(message["usage"]["input_tokens"], 0, message["usage"]["output_tokens"])
    ended = {"max_tokens": "length"}.get(message["stop_reason"], "stop")
    return Reply([message["content"][0]["text"]], [ended], usage)

def read_error(status, content):
    error = json.loads(content)["error"]
    return ErrorReply(status, error["type"], "", error["message"])

DIALECT = dataclasses.replace(
    CHAT,
    name="messages",
    path="/messages",
    limit_names=("max_tokens",),
    parameters={"max_tokens": "max_tokens", "temperature": "temperature", "stop_sequences": "stop"},
    headers=headers,
    body=body,
    read_reply=read_reply,
    read_error=read_error,
)
"""


def test_a_new_dialect_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API with other addresses, headers, names, replies and errors (Anthropic's messages)."""
    (tmp_path / "messages.py").write_text(MESSAGES)
    monkeypatch.setattr(api, "__path__", [*api.__path__, str(tmp_path)])
    requests: list[dict[str, Any]] = []

    async def answer(http: web.Request) -> web.Response:
        assert http.headers["x-api-key"] == "sk-ant-1"
        assert "Authorization" not in http.headers
        requests.append(await http.json())
        if len(requests) == 2:
            error = {"type": "invalid_request_error", "message": "stop_sequences: Extra inputs are not permitted"}
            return web.json_response({"type": "error", "error": error}, status=400)
        content = [{"type": "text", "text": "It is 5."}]
        usage = {"input_tokens": 7, "output_tokens": 3}
        return web.json_response({"content": content, "stop_reason": "end_turn", "usage": usage})

    async def talk() -> tuple[Reply, CallError]:
        app = web.Application()
        app.add_routes([web.post("/v1/messages", answer)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = Client(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", "sk-ant-1", 5, "messages")
        try:
            response = await client.send(request, [0])
            with pytest.raises(CallError) as caught:
                await client.send(request, [0])
            return client.dialect.read_reply(response.content), caught.value
        finally:
            await client.close()
            await runner.cleanup()

    request = Request(URL, "messages", "m", "Q: 3 + 2?", 16, 0.0, ("\nQ:",))
    reply, refusal = asyncio.run(talk())
    monkeypatch.delitem(sys.modules, "raydistill.teacher.api.messages")
    assert reply == Reply(["It is 5."], ["stop"], StatedUsage(7, 0, 3))
    assert requests[0]["stop_sequences"] == ["\nQ:"]
    assert refusal.code == "invalid_request_error"
    assert (refusal.kind, refusal.param, request.refused_parameter(refusal)) == ("refused", "stop_sequences", "stop")

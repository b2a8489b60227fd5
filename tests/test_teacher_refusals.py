"""Which parameters a model refuses: what a server says is believed, what its words only sound like is tried out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher import journal
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal import records
from raydistill.teacher.limits.messages import StopReason
from raydistill.teacher.preflight import preflight
from raydistill.teacher.refused_parameters import learn_refusals, was_taken

Body = dict[str, Any]
Rule = Callable[[Body], tuple[int, Any]]
"""From the body of a request to (status, body of the response)."""

COMPLETION = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
POLICY = "Content not allowed by policy: the prompt asks how to stop a treatment."


class Server:
    """Answers chat completions by a rule, and keeps what was sent."""

    def __init__(self, rule: Rule) -> None:
        self.bodies: list[Body] = []
        self.paths: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.paths.append(self.path)
                self.reply(404, {"error": {"message": "no list"}})

            def do_POST(self) -> None:
                server.paths.append(self.path)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append(body)
                self.reply(*rule(body))

            def reply(self, status: int, body: Any) -> None:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "https://elsewhere.example/v1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@contextlib.contextmanager
def serving(rule: Rule) -> Iterator[tuple[Server, Endpoint]]:
    """Serve by `rule`; yield the server, and an endpoint with a seed that knows nothing yet."""
    server = Server(rule)
    threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True).start()
    try:
        key = SecretStr("sk-test-0123456789")
        yield server, Endpoint(server.base_url, "m", "m at a test", server.base_url, key, seed=7)
    finally:
        server.http.shutdown()
        server.http.server_close()


def settings(**teacher: Any) -> TeacherSettings:
    return TeacherSettings(**{"kind": "api", "dialect": "chat", "backoff_s": 0.01, "temperature": 0.7, **teacher})


def refusing(*names: str, text: str = "Unsupported parameter: '{}'", **fields: Any) -> Rule:
    """Refuse the parameters `names`, one at a time; with `fields` in the error, in which {} is the name."""

    def rule(body: Body) -> tuple[int, Any]:
        for name in names:
            if name in body:
                stated = {field: value.format(name) for field, value in fields.items()}
                return 400, {"error": {"message": text.format(name), **stated}}
        return 200, COMPLETION

    return rule


def guess(parameter: str) -> StopReason:
    return StopReason("parameter", parameter=parameter, is_guess=True)


def folder_in(tmp_path: Path) -> journal.Folder:
    return journal.Folder(str(tmp_path / "journal"))


def keep(folder: journal.Folder, endpoint: Endpoint, content: Any = COMPLETION, **changes: Any) -> None:
    """Write a reply to a request with stop, seed 7, temperature 0.7 and max_tokens to the journal."""
    request = endpoint.request("chat", "Q: 1 + 1?", 16, 0.7, ("\nQ:",))
    canonical = {**request.canonical(), **changes}
    buyer = records.Buyer("run", "session", "zero_shot")
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    entry = records.reply(
        request.keys([0]), 200, body, canonical, buyer, attempts=1, reserved=(9, 16), price=None, task="t", kind="r"
    )

    async def write() -> None:
        writer = journal.Writer(folder)
        await writer.open()
        try:
            await writer.append(entry)
        finally:
            writer.close()

    asyncio.run(write())


def test_a_guess_that_a_probe_shows_wrong_changes_nothing(tmp_path: Path) -> None:
    """One prompt's refusal, which holds the word "stop", made a stage buy 200 answers again."""
    with serving(refusing()) as (server, endpoint):
        learn_refusals(endpoint, guess("stop"), settings(), folder_in(tmp_path))
        assert (endpoint.refuses, "stop" in endpoint.takes) == (set(), True)
        [body] = server.bodies
        assert body["stop"]
        assert "treatment" not in json.dumps(body)
        learn_refusals(endpoint, guess("stop"), settings(), folder_in(tmp_path))
        assert len(server.bodies) == 1  # what the model takes is asked once


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("stop", "stop"),
        ("seed", "seed"),
        ("temperature=0.7", "temperature"),
        ("temperature=0", "temperature"),
        ("max_tokens", "max_tokens"),
    ],
)
def test_a_guess_that_a_probe_confirms_is_believed(parameter: str, name: str, tmp_path: Path) -> None:
    with serving(refusing(name)) as (server, endpoint):
        learn_refusals(endpoint, guess(parameter), settings(), folder_in(tmp_path))
        assert parameter in endpoint.refuses
        assert parameter not in endpoint.takes
        assert name in server.bodies[0]
        assert name not in server.bodies[-1]


def test_what_is_refused_beside_a_confirmed_guess_is_found_as_well(tmp_path: Path) -> None:
    with serving(refusing("max_tokens", "temperature", "seed", "stop")) as (_, endpoint):
        learn_refusals(endpoint, guess("seed"), settings(), folder_in(tmp_path))
        assert endpoint.refuses == {"max_tokens", "temperature=0", "temperature=0.7", "seed", "stop"}


def test_a_refused_parameter_beside_a_wrong_guess_does_not_confirm_it(tmp_path: Path) -> None:
    with serving(refusing("max_tokens", code="unsupported_parameter", param="{}")) as (server, endpoint):
        learn_refusals(endpoint, guess("stop"), settings(), folder_in(tmp_path))
        assert "stop" in endpoint.takes
        assert "stop" not in endpoint.refuses
        assert "stop" in server.bodies[-1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, "boom"),
        (429, "slow down"),
        (401, "bad key"),
        (400, POLICY),
        (400, "Unknown error: please stop, the temperature is unexpected"),
    ],
)
def test_a_probe_that_fails_whatever_it_sends_proves_nothing(status: int, error: str, tmp_path: Path) -> None:
    with serving(lambda body: (status, {"error": {"message": error}})) as (server, endpoint):
        learn_refusals(endpoint, guess("stop"), settings(), folder_in(tmp_path))
        assert endpoint.refuses == set()
        assert "stop" in endpoint.takes  # nobody tries again: else the stage would start anew for ever
        assert len(server.bodies) <= 4


def test_a_probe_outlasts_a_fault_that_passes(tmp_path: Path) -> None:
    faults = iter([(503, {}), (429, {}), (200, {"error": {"message": "overloaded", "code": 503}})])
    rule = refusing("stop")
    with serving(lambda body: next(faults, None) or rule(body)) as (_, endpoint):
        learn_refusals(endpoint, guess("stop"), settings(), folder_in(tmp_path))
        assert endpoint.refuses == {"stop"}


def test_a_server_that_is_gone_proves_nothing(tmp_path: Path) -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1", "m", "m", "m", SecretStr("none"), None)
    learn_refusals(endpoint, guess("stop"), settings(), folder_in(tmp_path))
    assert (endpoint.refuses, endpoint.takes) == (set(), {"stop"})


def test_what_the_server_itself_names_is_believed(tmp_path: Path) -> None:
    with serving(refusing("seed", code="unsupported_parameter", param="{}")) as (server, endpoint):
        keep(folder_in(tmp_path), endpoint)
        learn_refusals(endpoint, StopReason("parameter", parameter="seed"), settings(), folder_in(tmp_path))
        assert endpoint.refuses == {"seed"}
        assert "seed" not in server.bodies[0]


@pytest.mark.parametrize("parameter", ["stop", "seed", "temperature=0.7", "max_tokens"])
def test_a_model_that_has_answered_with_a_parameter_takes_it(parameter: str, tmp_path: Path) -> None:
    with serving(refusing()) as (server, endpoint):
        folder = folder_in(tmp_path)
        keep(folder, endpoint)
        assert was_taken(folder, endpoint, parameter)
        learn_refusals(endpoint, guess(parameter), settings(), folder)
        assert (endpoint.refuses, endpoint.takes, server.bodies) == (set(), {parameter}, [])


@pytest.mark.parametrize(
    ("parameter", "content", "changes"),
    [
        ("stop", COMPLETION, {"stop": []}),
        ("seed", COMPLETION, {"seed": None}),
        ("temperature=0.7", COMPLETION, {"temperature": None}),
        ("temperature=0", COMPLETION, {}),
        ("max_completion_tokens", COMPLETION, {}),
        ("stop", COMPLETION, {"model": "another"}),
        ("stop", COMPLETION, {"base_url": "https://elsewhere.example/v1"}),
        ("stop", {"error": {"message": "no 'stop'", "code": 400}}, {}),
        ("stop", b"<html>", {}),
    ],
)
def test_other_answers_show_nothing(parameter: str, content: Any, changes: Body, tmp_path: Path) -> None:
    with serving(refusing()) as (_, endpoint):
        folder = folder_in(tmp_path)
        keep(folder, endpoint, content, **changes)
        assert not was_taken(folder, endpoint, parameter)


def test_answers_to_a_seed_and_a_temperature_of_zero_count(tmp_path: Path) -> None:
    with serving(refusing()) as (_, endpoint):
        keep(folder_in(tmp_path), endpoint, seed=0, temperature=0.0)
        assert was_taken(folder_in(tmp_path), endpoint, "seed")
        assert was_taken(folder_in(tmp_path), endpoint, "temperature=0")


def test_a_model_that_takes_no_limit_is_no_teacher(tmp_path: Path) -> None:
    rule = refusing("max_tokens", "max_completion_tokens")
    with serving(rule) as (_, endpoint), pytest.raises(TeacherError, match="no limit could be set"):
        learn_refusals(endpoint, guess("max_tokens"), settings(), folder_in(tmp_path))


@pytest.mark.parametrize(
    ("status", "body", "words", "hint"),
    [
        (308, {}, "does not answer by itself: HTTP 308: redirected to https://elsewhere.example/v1", "Redirects"),
        (402, {"error": {"message": "pay"}}, "has no credit: HTTP 402: pay", "Add credit"),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, "has no credit", "Add credit"),
        (401, {"error": {"message": "bad key"}}, "rejects the API key", "Set the variable"),
        (503, {"error": {"message": "busy"}}, "No answer from", "is the server running"),
        (200, b"<html>welcome</html>", "no completion: the reply is not JSON", "/v1"),
        (200, b'data: {"choices": []}\n\n', "no completion: the reply is not JSON", "teacher.dialect"),
        (200, {"error": {"message": "bad key", "code": 401}}, "rejects the API key", "Set the variable"),
        (400, {"error": {"message": POLICY}}, "rejects a test request", "teacher.model"),
    ],
)
def test_preflight_says_what_to_do(status: int, body: Any, words: str, hint: str) -> None:
    with serving(lambda _: (status, body)) as (_, endpoint):
        with pytest.raises(TeacherError, match=words) as caught:
            preflight(endpoint, settings())
        assert hint in caught.value.hint
        assert endpoint.refuses == set()


def test_preflight_names_a_key_that_cannot_be_sent() -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1", "m", "m", "m", SecretStr("sk-0123456789\nsk-0123456789"), None)
    with pytest.raises(TeacherError, match="API key holds a line break") as caught:
        preflight(endpoint, settings())
    assert "0123456789" not in str(caught.value)

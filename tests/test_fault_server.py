"""The fault server (benchmarks/fault_server.py), whose bill is the evidence of benchmarks/engine_faults.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import aiohttp
import fault_server
import pytest
from fault_call import Spec, digest
from fault_kinds import KINDS
from fault_server import FaultServer

PROMPT = "Q: What is 3 + 4?"
TIMEOUT_S = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with fault_server.serve() as running:
        yield running


def ask(server: FaultServer, n: int = 2, path: str = "/chat/completions") -> bytes | None:
    """Send one call, and return the body of a whole reply; None if there is none in time."""
    prompt = {"messages": [{"role": "user", "content": PROMPT}]} if "chat" in path else {"prompt": PROMPT}
    return asyncio.run(post(server.base_url + path, prompt | {"n": n, "max_tokens": 10}))


async def post(url: str, body: dict[str, object]) -> bytes | None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        try:
            async with session.post(url, json=body) as response:
                return await response.read()
        except (TimeoutError, aiohttp.ClientError):
            return None


@pytest.mark.parametrize("name", KINDS)
def test_what_is_generated_is_billed_whatever_becomes_of_it(server: FaultServer, name: str) -> None:
    server.play(Spec(name, latency_s=0.0, timeout_s=TIMEOUT_S))
    ask(server)
    stats = server.stats()
    assert stats.requests == stats.faults == 1
    assert stats.billed_calls == KINDS[name].bills
    assert bool(stats.usd(1, 4)) == KINDS[name].bills
    assert len(stats.prompts) == KINDS[name].bills


def test_the_bill_is_what_the_reply_states(server: FaultServer) -> None:
    for path in ("/completions", "/chat/completions"):
        server.play(Spec())
        body = json.loads(ask(server, 2, path) or b"")
        assert len(body["choices"]) == 2
        stats = server.stats()
        assert body["usage"]["prompt_tokens"] == stats.prompt_tokens
        assert body["usage"]["completion_tokens"] == stats.completion_tokens == 2 * 10


def test_a_sample_is_bought_twice_if_it_had_arrived_before(server: FaultServer) -> None:
    server.play(Spec(samples=2))
    ask(server, 2)
    assert server.stats().prompts[digest(PROMPT)].bought_twice == 0
    ask(server, 2)
    assert server.stats().prompts[digest(PROMPT)].bought_twice == 2
    server.play(Spec("ignores_n", samples=2))
    ask(server, 2)
    ask(server, 1)
    assert server.stats().prompts[digest(PROMPT)].bought_twice == 0  # the second one was still missing


@pytest.mark.parametrize("name", ["slow", "hang", "reset_mid_body", "length_too_long", "status_504_generated"])
def test_what_gets_lost_may_be_bought_again(server: FaultServer, name: str) -> None:
    server.play(Spec(name, latency_s=0.0, timeout_s=TIMEOUT_S, samples=2))
    ask(server)
    ask(server)
    counts = server.stats().prompts[digest(PROMPT)]
    assert counts.billed == 4
    assert counts.arrived == counts.bought_twice == 0


def test_the_share_of_faults_is_kept(server: FaultServer) -> None:
    server.play(Spec("status_500", share=0.3, latency_s=0.0))
    for _ in range(200):
        ask(server)
    stats = server.stats()
    assert 30 < stats.faults < 90
    assert stats.billed_calls == 200 - stats.faults


def test_an_outage_for_good_ends_with_the_next_order(server: FaultServer) -> None:
    server.play(Spec("outage"))
    assert ask(server) is None
    assert ask(server) is None
    assert server.stats().requests == 1
    server.play(Spec())
    assert ask(server) is not None


def test_an_unknown_kind_is_named(server: FaultServer) -> None:
    with pytest.raises(ValueError, match="kind 'politeness' is not one of rate_limit_seconds"):
        server.play(Spec("politeness"))

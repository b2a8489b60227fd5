"""The HTTP side of the simulated teacher: routes, checks, rate limits, scripted behaviour, counts.

What it speaks is said in `simulated`, what it writes in `rationales`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

from raydistill.config import SimulatedSettings
from raydistill.simulated.protocol import TOKEN_CHARS, Bucket, Refused, Request, cut, tokens
from raydistill.simulated.rationales import GREEDY, read_prompt, reply

SERVER = "raydistill-simulated-teacher"
CACHE_BLOCK, CACHE_MIN = 128, 1024  # tokens: what OpenAI's prompt cache counts in, and from where on
LOG_LENGTH = 2000
COUNTS = (
    "requests answered choices prompt_tokens cached_tokens completion_tokens rate_limited faults errors peak_in_flight"
).split()
RULE_FIELDS = (
    "match call skip times delay_s text gold finish_reason usage omit_usage model status message code headers body "
    "truncate reset hang refuse_n refuses"
).split()


@dataclass
class Asked:
    """How often a prompt came in, how many choices were given for it, and how many of them without greed or seed."""

    requests: int = 0
    choices: int = 0
    samples: int = 0


@dataclass
class State:
    """What the server knows; `forget` makes a new one."""

    settings: SimulatedSettings
    models: list[str]
    api_key: str | None
    context_tokens: int
    rules: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, Asked] = field(default_factory=dict)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))
    prefixes: set[int] = field(default_factory=set)
    in_flight: int = 0
    started: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        limits = {"requests": self.settings.requests_per_minute, "tokens": self.settings.tokens_per_minute}
        self.buckets = {name: Bucket(limit) for name, limit in limits.items() if limit}

    def forget(self) -> State:
        return State(self.settings, self.models, self.api_key, self.context_tokens, in_flight=self.in_flight)

    def asked_before(self, prompt: str) -> Asked:
        return self.prompts.setdefault(hashlib.sha256(prompt.encode()).hexdigest(), Asked())

    def count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            self.counts[name] = self.counts.get(name, 0) + amount

    def cached_tokens(self, prompt: str) -> int:
        """Tokens of the longest known prefix, by OpenAI's rule; remembers this prompt's."""
        size, known, growing = CACHE_BLOCK * TOKEN_CHARS, 0, True
        if len(prompt) < CACHE_MIN * TOKEN_CHARS:
            return 0
        digest = 0
        for end in range(size, len(prompt) + 1, size):
            digest = hash((digest, prompt[end - size : end]))
            growing = growing and digest in self.prefixes
            known = end // TOKEN_CHARS if growing else known
            self.prefixes.add(digest)
        return known if known >= CACHE_MIN else 0


def _fits(rule: dict[str, Any], last_part: str, call: str) -> bool:
    """Whether a rule applies to this request; counts its `skip` and `times` down."""
    if rule.get("match", "") not in last_part or rule.get("call", call) != call or rule.get("times") == 0:
        return False
    for name in ("skip", "times"):
        if rule.get(name):
            rule[name] -= 1
            if name == "skip":
                return False
    return True


def _write(state: State, request: Request, rule: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """The reply's body, and what it counts for."""
    choices: list[dict[str, Any]] = []
    completion = cached = 0
    for prompt in request.prompts:
        cached += state.cached_tokens(prompt)
        # Without a seed, asking again goes on after the samples given so far: a model would not repeat itself either.
        first = request.seed if request.seed is not None else state.asked_before(prompt).samples
        gold = rule.get("gold") or (state.answers and state.answers.get(read_prompt(prompt).question)) or None
        for i in range(request.n):
            if "text" in rule:
                text = rule["text"] if isinstance(rule["text"], str) else rule["text"][i % len(rule["text"])]
            else:
                sample = first + i if request.temperature > 0 else GREEDY
                text = reply(prompt, sample, state.settings, gold)
                text = text.lstrip() if request.chat else text
            text, finish = cut(text, request.stop, request.max_tokens)
            completion += tokens(text)
            said: dict[str, Any] = {"message": {"role": "assistant", "content": text, "refusal": None}}
            said = said if request.chat else {"text": text}
            finish = rule.get("finish_reason", finish)
            choices.append({"index": len(choices), **said, "logprobs": None, "finish_reason": finish})
    asked = sum(map(tokens, request.prompts))
    usage = {
        "prompt_tokens": asked,
        "completion_tokens": completion,
        "total_tokens": asked + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    body = {
        "id": f"{'chatcmpl' if request.chat else 'cmpl'}-simulated-{state.counts.get('requests', 0)}",
        "object": "chat.completion" if request.chat else "text_completion",
        "created": int(time.time()),
        "model": rule.get("model") or (request.model if "simulated" in request.model else f"simulated:{request.model}"),
        "choices": choices,
        "system_fingerprint": "simulated",
    }
    if not rule.get("omit_usage"):
        body["usage"] = rule.get("usage", usage)
    amounts = {
        "choices": len(choices),
        "prompt_tokens": asked,
        "cached_tokens": cached,
        "completion_tokens": completion,
    }
    return body, amounts


def _limit(state: State, amount: int) -> None:
    """Take a request and its tokens from the rate limits, or refuse with 429 as OpenAI does."""
    for name, bucket in state.buckets.items():
        wait = bucket.take(1 if name == "requests" else amount)
        if not wait:
            continue
        if name == "tokens" and "requests" in state.buckets:
            state.buckets["requests"].left += 1
        if wait == float("inf"):
            message = f"Request too large: limit {bucket.per_minute} {name} per min, requested {amount}."
            raise Refused(429, message, "rate_limit_exceeded")
        headers = {"retry-after": str(math.ceil(wait)), "retry-after-ms": str(int(wait * 1000) + 1)}
        message = f"Rate limit reached on {name} per min. Please try again in {wait:.3f}s."
        raise Refused(429, message, "rate_limit_exceeded", headers)


def _disconnect(http: web.Request) -> None:
    """Cut the line with a TCP reset."""
    if http.transport:
        if sock := http.transport.get_extra_info("socket"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        http.transport.abort()


class Server:
    """The HTTP routes."""

    def __init__(self, state: State) -> None:
        self.state = state

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.on_response_prepare.append(_name_the_server)
        app.add_routes(
            [
                web.post("/v1/completions", self.completions),
                web.post("/v1/chat/completions", self.completions),
                web.get("/v1/models", self.models),
                web.get("/admin/stats", self.stats),
                web.get("/admin/log", self.log),
                web.post("/admin/script", self.script),
                web.post("/admin/reset", self.reset),
            ]
        )
        return app

    async def completions(self, http: web.Request) -> web.StreamResponse:
        state = self.state
        state.in_flight += 1
        state.counts["peak_in_flight"] = max(state.counts.get("peak_in_flight", 0), state.in_flight)
        entry: dict[str, Any] = {"path": http.path, "at": round(time.monotonic() - state.started, 4)}
        state.log.append(entry)
        try:
            response = await self._answer(http, state, entry)
        except Refused as refused:
            state.count(**{"rate_limited" if refused.status == 429 else "errors": 1})
            response = refused.response()
        finally:
            self.state.in_flight -= 1
        entry["status"] = response.status
        for name, bucket in state.buckets.items():
            response.headers.update(bucket.headers(name))
        return response

    async def _answer(self, http: web.Request, state: State, entry: dict[str, Any]) -> web.StreamResponse:
        state.count(requests=1)
        self._check_key(http)
        try:
            body = json.loads(await http.read())
        except ValueError:
            body = None
        chat = http.path.endswith("/chat/completions")
        request = Request.read(chat, body, state.models, state.context_tokens)
        entry |= {**body, "prompt": request.prompts[0] if len(request.prompts) == 1 else request.prompts}
        asked = [state.asked_before(prompt) for prompt in request.prompts]
        for prompt_count in asked:
            prompt_count.requests += 1
        rule: dict[str, Any] = {}
        if state.rules:
            first = request.prompts[0]
            last_part, call = first[max(0, first.rfind("Q:")) :], read_prompt(first).call
            rule = next((r for r in state.rules if _fits(r, last_part, call)), {})
        latency = rule.get("delay_s", 0.0) + state.settings.latency_s
        if rule.get("hang"):
            await asyncio.sleep(1e6)
        if rule.get("reset") or rule.get("status", 200) != 200 or "body" in rule:
            await asyncio.sleep(latency)
            return self._fault(http, state, rule)
        if rule.get("refuse_n") and request.n > 1:
            raise Refused(400, "This model does not support 'n' > 1.", "unsupported_value")
        for name in rule.get("refuses", ()):
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                raise Refused(400, message, "unsupported_parameter")
        if state.settings.fault_fraction:
            luck = Random(f"{state.settings.seed}\0{asked[0].requests}\0{request.prompts[0]}")
            if luck.random() < state.settings.fault_fraction:
                faults: list[dict[str, Any]] = [{"status": 500}, {"reset": True}, {"body": '{"choices": [{"te'}]
                return self._fault(http, state, luck.choice(faults))
        reply_body, amounts = _write(state, request, rule)
        _limit(state, amounts["prompt_tokens"] + amounts["completion_tokens"])
        state.count(answered=1, **amounts)
        for prompt_count in asked:
            prompt_count.choices += request.n
            prompt_count.samples += request.n if request.temperature > 0 and request.seed is None else 0
        await asyncio.sleep(latency)
        text = json.dumps(reply_body)
        if "truncate" in rule:
            return await self._truncated(http, text.encode(), rule["truncate"])
        return web.Response(text=text, content_type="application/json", headers=rule.get("headers"))

    def _check_key(self, http: web.Request) -> None:
        if self.state.api_key and http.headers.get("Authorization") != f"Bearer {self.state.api_key}":
            raise Refused(401, "Incorrect API key provided.", "invalid_api_key")

    def _fault(self, http: web.Request, state: State, rule: dict[str, Any]) -> web.Response:
        status, headers = rule.get("status", 500), rule.get("headers")
        state.count(**{"rate_limited" if status == 429 else "faults": 1})
        if rule.get("reset"):
            _disconnect(http)
        if "body" in rule:
            status = rule.get("status", 200)
            return web.Response(text=rule["body"], status=status, content_type="application/json", headers=headers)
        message = rule.get("message", f"A simulated fault, status {status}.")
        return Refused(status, message, rule.get("code"), headers).response()

    async def _truncated(self, http: web.Request, body: bytes, length: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(http)
        await response.write(body[:length])
        if http.transport:
            http.transport.close()
        return response

    async def models(self, http: web.Request) -> web.Response:
        try:
            self._check_key(http)
        except Refused as refused:
            return refused.response()
        served = [{"id": m, "object": "model", "created": 0, "owned_by": SERVER} for m in self.state.models]
        return web.json_response({"object": "list", "data": served})

    async def stats(self, http: web.Request) -> web.Response:
        state = self.state
        times = {"cpu_s": time.process_time() - state.cpu, "seconds": time.monotonic() - state.started}
        counts = {name: state.counts.get(name, 0) for name in COUNTS}
        prompts = {key: [asked.requests, asked.choices] for key, asked in state.prompts.items()}
        return web.json_response(counts | times | {"prompts": prompts})

    async def log(self, http: web.Request) -> web.Response:
        return web.json_response({"requests": [*self.state.log]})

    async def script(self, http: web.Request) -> web.Response:
        body = await http.json()
        known = {*RULE_FIELDS}
        for rule in body.get("rules", []):
            if unknown := {*rule} - known:
                return web.Response(status=400, text=f"Unknown rule fields {sorted(unknown)}; known: {sorted(known)}")
        self.state.rules, self.state.answers = body.get("rules", []), body.get("answers", {})
        return web.json_response({})

    async def reset(self, http: web.Request) -> web.Response:
        self.state = self.state.forget()
        return web.json_response({})


async def _name_the_server(http: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


async def run(config: Mapping[str, Any], ready: Callable[[str], None]) -> None:
    """Serve until cancelled; `ready` is told the address. `config` as in `simulated.serve`."""
    settings = SimulatedSettings(**config["settings"])
    state = State(settings, config["models"], config["api_key"], config["context_tokens"])
    runner = web.AppRunner(Server(state).app(), access_log=None, keepalive_timeout=3600, handler_cancellation=False)
    await runner.setup()
    site = web.TCPSite(runner, config["host"], config["port"], backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    ready(f"http://{config['host']}:{port}/v1")
    await asyncio.Event().wait()

"""The HTTP routes of the simulated teacher.

What they speak is described in `raydistill.simulated`, what the teacher writes in `replies`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from raydistill.simulated.completion_request import CompletionRequest, parse_request
from raydistill.simulated.completion_response import Usage, complete
from raydistill.simulated.error_reply import RATE_LIMITED, ErrorReply
from raydistill.simulated.faults import fault_response, fault_status, random_fault, truncated_response
from raydistill.simulated.script import Rule, parse_script
from raydistill.simulated.server_config import ServerConfig
from raydistill.simulated.state import State

SERVER_NAME = "raydistill-simulated-teacher"
MAX_BODY_BYTES = 64 * 2**20
KEEPALIVE_S = 3600
BACKLOG = 1024
FOREVER_S = 1e6


class Server:
    """The routes and the state behind them."""

    def __init__(self, config: ServerConfig) -> None:
        self.state = State(config)

    def app(self) -> web.Application:
        """Build the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(_name_the_server)
        app.router.add_post("/v1/completions", self.completions)
        app.router.add_post("/v1/chat/completions", self.completions)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/admin/stats", self.stats)
        app.router.add_get("/admin/log", self.log)
        app.router.add_post("/admin/script", self.script)
        app.router.add_post("/admin/reset", self.reset)
        return app

    async def completions(self, http: web.Request) -> web.StreamResponse:
        """Answer a completion request; log and count it."""
        state = self.state
        state.request_arrives()
        entry: dict[str, Any] = {"path": http.path, "at": round(state.seconds, 4)}
        state.log.append(entry)
        try:
            response = await self._answer(http, state, entry)
        except ErrorReply as error:
            _count_error(state, error.status)
            response = error.response()
        finally:
            self.state.in_flight -= 1  # of the state by now: a reset takes the requests in flight over
        entry["status"] = response.status
        response.headers.update(state.rate_limits.headers())
        return response

    async def models(self, http: web.Request) -> web.Response:
        """List the models."""
        try:
            _check_key(http, self.state.config.api_key)
        except ErrorReply as error:
            return error.response()
        models = []
        for model in self.state.config.models:
            models.append({"id": model, "object": "model", "created": 0, "owned_by": SERVER_NAME})
        return web.json_response({"object": "list", "data": models})

    async def stats(self, http: web.Request) -> web.Response:
        """Report the counts."""
        return web.json_response(self.state.stats())

    async def log(self, http: web.Request) -> web.Response:
        """Report the latest requests."""
        return web.json_response({"requests": list(self.state.log)})

    async def script(self, http: web.Request) -> web.Response:
        """Replace the script."""
        try:
            self.state.script = parse_script(await http.json())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({})

    async def reset(self, http: web.Request) -> web.Response:
        """Forget all but the requests in flight."""
        self.state = State(self.state.config, self.state.in_flight)
        return web.json_response({})

    async def _answer(self, http: web.Request, state: State, entry: dict[str, Any]) -> web.StreamResponse:
        """Reply to a completion request; its log `entry` gets the prompt and the parameters."""
        config = state.config
        state.counts.requests += 1
        _check_key(http, config.api_key)
        body = await _json_body(http)
        is_chat = http.path.endswith("/chat/completions")
        request = parse_request(body, is_chat=is_chat, models=config.models, context_tokens=config.context_tokens)
        prompts = request.prompts
        entry.update(body)
        entry["prompt"] = prompts[0] if len(prompts) == 1 else prompts
        for prompt in prompts:
            state.prompt_counts(prompt).requests += 1

        rule = state.script.rule_for(prompts[0])
        latency_s = rule.delay_s + config.settings.latency_s
        if rule.hang:
            await asyncio.sleep(FOREVER_S)
        if rule.is_fault:
            await asyncio.sleep(latency_s)
            return _send_fault(http, state, rule)
        rule.check_parameters(request, body)
        fault = random_fault(config.settings, prompts[0], state.prompt_counts(prompts[0]).requests)
        if fault:
            return _send_fault(http, state, fault)

        completion = complete(state, request, rule)
        state.rate_limits.take(completion.usage.total_tokens)
        _count_answer(state, request, completion.usage)
        await asyncio.sleep(latency_s)
        text = json.dumps(completion.body)
        if rule.truncate is not None:
            return await truncated_response(http, text.encode(), rule.truncate)
        return web.Response(text=text, content_type="application/json", headers=rule.headers)


async def serve_forever(config: ServerConfig, on_ready: Callable[[str], None]) -> None:
    """Serve until cancelled; `on_ready` is called with the base URL once requests are accepted."""
    app = Server(config).app()
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_S, handler_cancellation=False)
    await runner.setup()
    site = web.TCPSite(runner, config.host, config.port, backlog=BACKLOG)
    await site.start()
    port = runner.addresses[0][1]
    on_ready(f"http://{config.host}:{port}/v1")
    await asyncio.Event().wait()


async def _json_body(http: web.Request) -> Any:
    """Read the body; None if it is no JSON."""
    try:
        return json.loads(await http.read())
    except ValueError:
        return None


async def _name_the_server(http: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER_NAME


def _check_key(http: web.Request, api_key: str | None) -> None:
    if api_key and http.headers.get("Authorization") != f"Bearer {api_key}":
        raise ErrorReply(401, "Incorrect API key provided.", "invalid_api_key")


def _send_fault(http: web.Request, state: State, fault: Rule) -> web.Response:
    if fault_status(fault) == RATE_LIMITED:
        state.counts.rate_limited += 1
    else:
        state.counts.faults += 1
    return fault_response(http, fault)


def _count_error(state: State, status: int) -> None:
    if status == RATE_LIMITED:
        state.counts.rate_limited += 1
    else:
        state.counts.errors += 1


def _count_answer(state: State, request: CompletionRequest, usage: Usage) -> None:
    """Count a reply and the choices given for each prompt; samples without a seed apart: the next go on from them."""
    counts = state.counts
    counts.answered += 1
    counts.choices += usage.choices
    counts.prompt_tokens += usage.prompt_tokens
    counts.cached_tokens += usage.cached_tokens
    counts.completion_tokens += usage.completion_tokens
    draws_samples = request.temperature > 0 and request.seed is None
    for prompt in request.prompts:
        prompt_counts = state.prompt_counts(prompt)
        prompt_counts.choices += request.n
        if draws_samples:
            prompt_counts.samples += request.n

"""A teacher that misbehaves, in a process of its own, and counts what it would bill.

    with fault_server.serve(Spec("hang", share=0.05)) as server:
        ...  # calls server.base_url
        print(server.stats().usd(1, 4))

It answers /v1/completions and /v1/chat/completions by raw HTTP/1.1, so that it can break every rule of it. On a port of
its own it takes orders: POST /spec changes its behaviour and forgets all counts, POST /reset forgets the counts alone,
GET /stats reports them. `fault_kinds.KINDS` are the misbehaviours.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fault_call import HTML_TYPE, Asked, Bill, Call, Connection, PromptStats, Spec, Stats, head
from fault_kinds import KINDS

HOST = "127.0.0.1"
BACKLOG = 4096
LARGEST_HEAD = 1 << 20
ORDER_TIMEOUT_S = 30
EXIT_TIMEOUT_S = 5
DEFAULT_MAX_TOKENS = 16
HEALTHY = Spec()


class FaultServer(NamedTuple):
    """A running fault server, as its user sees it; can be sent to other processes."""

    base_url: str
    """Ends in /v1, as OpenAI's clients want it."""
    orders_url: str

    def play(self, spec: Spec) -> None:
        """Behave in this way from now on, and forget all counts.

        Raises:
            ValueError: there is no such kind.
        """
        if spec.kind not in KINDS:
            raise ValueError(f"The kind {spec.kind!r} is not one of {', '.join(KINDS)}.")
        self._order("spec", spec._asdict())

    def reset(self) -> None:
        """Forget all counts."""
        self._order("reset", {})

    def stats(self) -> Stats:
        """Return the counts."""
        fields = self._order("stats")
        fields["prompts"] = {prompt: PromptStats(*counts) for prompt, counts in fields["prompts"].items()}
        return Stats(**fields)

    def _order(self, name: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.orders_url}/{name}", data)
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with without_proxy.open(request, timeout=ORDER_TIMEOUT_S) as response:
            return json.load(response)


@contextmanager
def serve(spec: Spec = HEALTHY) -> Iterator[FaultServer]:
    """Run a fault server in a process of its own for the length of the block."""
    command = [sys.executable, str(Path(__file__).resolve())]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdin
    assert child.stdout
    try:
        server = FaultServer(**json.loads(child.stdout.readline()))
        server.play(spec)
        yield server
    finally:
        child.stdin.close()  # which ends it
        try:
            child.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


class Received(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Process:
    """The server's inside."""

    def __init__(self) -> None:
        self._spec = Spec()
        self._bill = Bill()
        self._random = random.Random()
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._orders: asyncio.Server | None = None
        self._return: asyncio.TimerHandle | None = None

    async def start(self) -> FaultServer:
        """Listen for calls and for orders."""
        self._orders = await asyncio.start_server(self._take_orders, HOST, 0)
        await self._listen()
        orders_port = self._orders.sockets[0].getsockname()[1]
        return FaultServer(f"http://{HOST}:{self._port}/v1", f"http://{HOST}:{orders_port}")

    async def _listen(self) -> None:
        """Take calls, on the same port as before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._take_calls, HOST, self._port, backlog=BACKLOG, limit=LARGEST_HEAD
            )
            self._port = self._listener.sockets[0].getsockname()[1]

    def _stop_listening(self, seconds: float | None) -> None:
        """Break all connections and refuse new ones: for so many seconds, or until the next spec (None)."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for writer in self._writers:
            writer.transport.abort()
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._return = loop.call_later(seconds, lambda: asyncio.ensure_future(self._listen()))

    async def _take_orders(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await _receive(reader)
        if received is not None:
            content = json.dumps(await self._obey(received)).encode()
            writer.write(head(200, len(content), {"Connection": "close"}) + content)
            await writer.drain()
        writer.close()

    async def _obey(self, order: Received) -> object:
        if order.path == "/stats":
            return vars(self._bill)
        if order.path == "/spec":
            self._spec = Spec(**json.loads(order.body))
            self._random = random.Random(self._spec.seed)
            if self._return is not None:
                self._return.cancel()
            await self._listen()
        self._bill = Bill()
        return {}

    async def _take_calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the calls of one connection."""
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                received = await _receive(reader)
                if received is None:
                    break
                await self._answer(received, Connection(reader, writer))
        except ConnectionError:
            pass  # the client has left
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, received: Received, connection: Connection) -> None:
        if not received.path.endswith("/completions"):
            await self._answer_other(received, connection.writer)
            return
        bill = self._bill
        bill.requests += 1
        kind = KINDS["healthy"]
        if self._random.random() < self._spec.share:
            kind = KINDS[self._spec.kind]
            bill.faults += 1
        call = Call(_asked(received), self._spec, bill, connection, kind.is_readable, self._stop_listening)
        await kind.play(call)

    async def _answer_other(self, received: Received, writer: asyncio.StreamWriter) -> None:
        """List the models, or show the page that redirects lead to."""
        content = b"<html><body>Log in</body></html>"
        content_type = HTML_TYPE
        if received.path.endswith("/models"):
            content = json.dumps({"object": "list", "data": [{"id": "faulty", "object": "model"}]}).encode()
            content_type = "application/json"
        writer.write(head(200, len(content), content_type=content_type) + content)
        await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> Received | None:
    """Read one request; None if the client has left."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        headers = {}
        for line in filter(None, lines[1:]):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Received(method, path, headers, body)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _asked(received: Received) -> Asked:
    """Read a completion request."""
    body = json.loads(received.body)
    is_chat = received.path.endswith("/chat/completions")
    if is_chat:
        prompt = "\n".join(message["content"] for message in body["messages"])
    else:
        prompt = body["prompt"]
    return Asked(
        prompt=prompt,
        n=body.get("n") or 1,
        max_tokens=body.get("max_tokens") or body.get("max_completion_tokens") or DEFAULT_MAX_TOKENS,
        is_chat=is_chat,
        authorization=received.headers.get("authorization", ""),
    )


async def _serve_parent() -> None:
    """Serve until the parent closes this process's input, or ends."""
    process = Process()
    server = await process.start()
    print(json.dumps(server._asdict()), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve_parent())

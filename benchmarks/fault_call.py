"""One call at the fault server: what was asked, what it is billed for, and the means to answer it well or badly.

A completion is billed when it begins to be generated, whatever becomes of it on its way: so do real providers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple

LONGEST_HANG_S = 30.0
CHARS_PER_TOKEN = 4
"""Of ASCII text. Any other character is 1.0 to 1.5 tokens, depending on the prompt."""
JSON_TYPE = "application/json"
HTML_TYPE = "text/html"

Headers = Mapping[str, str]
NO_HEADERS: Headers = {}


class Spec(NamedTuple):
    """How the server behaves."""

    kind: str = "healthy"
    """Name of a misbehaviour in `fault_kinds.KINDS`."""
    share: float = 1.0
    """Fraction of the calls that meet it; the others are answered well."""
    latency_s: float = 0.03
    timeout_s: float = 1.5
    """The client's time-out, which slow answers outlast."""
    samples: int = 1
    """Samples of each prompt that the client is out for, in one request or several."""
    seed: int = 0


class PromptStats(NamedTuple):
    """What became of the samples of one prompt."""

    billed: int = 0
    arrived: int = 0
    """Billed samples whose whole body was delivered with status 200, readable or not."""
    readable: int = 0
    """Those of them that a client could read."""
    bought_twice: int = 0
    """Samples billed though all that the client is out for had arrived before."""


class Stats(NamedTuple):
    """The server's counts since the start or the last change of its behaviour."""

    requests: int
    faults: int
    billed_calls: int
    prompt_tokens: int
    """Billed ones, as `completion_tokens`."""
    completion_tokens: int
    prompts: dict[str, PromptStats]
    """By `digest` of the prompt."""

    def usd(self, input_price: float, output_price: float) -> float:
        """Return the bill at so many USD per million prompt and completion tokens."""
        return (self.prompt_tokens * input_price + self.completion_tokens * output_price) / 1e6


@dataclass
class Bill:
    """The counts as they grow."""

    requests: int = 0
    faults: int = 0
    billed_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompts: dict[str, PromptStats] = field(default_factory=dict)

    def prompt(self, prompt: str) -> PromptStats:
        """Return what is known of a prompt."""
        return self.prompts.get(digest(prompt), PromptStats())

    def change(self, prompt: str, **counts: int) -> None:
        """Replace counts of a prompt."""
        self.prompts[digest(prompt)] = self.prompt(prompt)._replace(**counts)


class Asked(NamedTuple):
    """A completion request, as it was received."""

    prompt: str
    n: int
    max_tokens: int
    is_chat: bool
    authorization: str


class Connection(NamedTuple):
    """The two directions of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Call:
    """One completion request, and what can be done with it.

    Attributes:
        asked: the request.
        spec: how the server behaves.
        count: how many calls met the server's misbehaviour so far, this one included.
    """

    def __init__(
        self,
        asked: Asked,
        spec: Spec,
        bill: Bill,
        connection: Connection,
        is_readable: bool,
        stop_listening: Callable[[float | None], None],
    ) -> None:
        """Take a request in.

        Args:
            asked: the request.
            spec: how the server behaves.
            bill: where it is counted.
            connection: where it came from.
            is_readable: whether a client could read the samples of a body that `deliver` sends.
            stop_listening: refuses connections, for so many seconds or for ever (None).
        """
        self.asked = asked
        self.spec = spec
        self.count = bill.faults
        self.stop_listening = stop_listening
        self._bill = bill
        self._connection = connection
        self._is_readable = is_readable
        self._generated = 0

    async def refuse(
        self, status: int, body: object, headers: Headers = NO_HEADERS, content_type: str = JSON_TYPE
    ) -> None:
        """Send a response that nothing was generated for."""
        content = _encoded(body)
        self.write(head(status, len(content), headers, content_type) + content)
        await self.drain()

    async def generate(self, samples: int | None = None, token_ratio: float = 1.0) -> dict[str, Any]:
        """Bill a completion, take the time that it takes, and return its body.

        Args:
            samples: how many; by default as many as were asked for.
            token_ratio: the tokens of each, in multiples of the limit that was asked for.
        """
        asked = self.asked
        self._generated = asked.n if samples is None else samples
        prompt_tokens = count_tokens(asked.prompt)
        completion_tokens = int(asked.max_tokens * token_ratio) * self._generated
        self._count(prompt_tokens, completion_tokens)
        await asyncio.sleep(self.spec.latency_s)
        choices = [_choice(asked, index) for index in range(self._generated)]
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }
        return {"id": f"call-{self._bill.billed_calls}", "model": "faulty", "choices": choices, "usage": usage}

    async def deliver(self, body: object, content_type: str = JSON_TYPE, *, copies: int = 1) -> None:
        """Send what was generated, whole and with status 200; it counts as arrived if the client is still there."""
        content = _encoded(body)
        if self._connection.reader.at_eof():
            return self.reset()
        for _ in range(copies):
            self.write(head(200, len(content), NO_HEADERS, content_type) + content)
        await self.drain()
        if not self._connection.writer.is_closing():
            self.has_arrived()
        return None

    def has_arrived(self) -> None:
        """Count the samples as delivered."""
        prompt = self.asked.prompt
        known = self._bill.prompt(prompt)
        self._bill.change(prompt, arrived=known.arrived + self._generated)
        if self._is_readable:
            self._bill.change(prompt, readable=known.readable + self._generated)

    def write(self, content: bytes) -> None:
        """Send some bytes."""
        self._connection.writer.write(content)

    async def drain(self) -> None:
        """Wait until what was sent is on its way."""
        await self._connection.writer.drain()

    def reset(self) -> None:
        """Break the connection off."""
        self._connection.writer.transport.abort()

    def close(self) -> None:
        """End the connection after what was sent."""
        self._connection.writer.close()

    async def client_leaves(self, longest_s: float = LONGEST_HANG_S) -> bool:
        """Wait until the client hangs up; False if it has not after `longest_s`."""
        try:
            return await asyncio.wait_for(self._connection.reader.read(1), longest_s) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def _count(self, prompt_tokens: int, completion_tokens: int) -> None:
        bill = self._bill
        bill.billed_calls += 1
        bill.prompt_tokens += prompt_tokens
        bill.completion_tokens += completion_tokens
        known = bill.prompt(self.asked.prompt)
        unneeded = max(0, known.arrived + self._generated - self.spec.samples)
        bill.change(
            self.asked.prompt,
            billed=known.billed + self._generated,
            bought_twice=known.bought_twice + min(self._generated, unneeded),
        )


def head(status: int, length: int, headers: Headers = NO_HEADERS, content_type: str = JSON_TYPE) -> bytes:
    """Return the beginning of a response, up to its body."""
    fields = {"Content-Type": content_type, "Content-Length": str(length), **headers}
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    for name, value in fields.items():
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def digest(prompt: str) -> str:
    """Return what stands for a prompt in the counts; its first eight characters are in every text generated for it."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def count_tokens(prompt: str) -> int:
    """Return the prompt tokens that are billed."""
    ascii_chars = sum(character.isascii() for character in prompt)
    other_chars = len(prompt) - ascii_chars
    tokens_per_other = 1.0 + int(digest(prompt)[:2], 16) / 510
    return ascii_chars // CHARS_PER_TOKEN + int(other_chars * tokens_per_other) + 1


def _choice(asked: Asked, index: int) -> dict[str, Any]:
    text = f" Step {digest(asked.prompt)[:8]}, sample {index}: 3 + 4 = 7. The answer is 7."
    choice = {"index": index, "finish_reason": "length"}
    if asked.is_chat:
        return choice | {"message": {"role": "assistant", "content": text}}
    return choice | {"text": text}


def _encoded(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

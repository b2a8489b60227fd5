"""Misbehaviours with what was generated and is billed: it gets lost, comes late, or in a shape of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from fault_call import HTML_TYPE, Call, head
from fault_kind import Kinds

HUGE_BYTES = 30_000_000
ENOUGH_BYTES = 18_000_000
TRICKLE_S = 0.2

REPLIES = Kinds()


@REPLIES.add(bills=True, is_readable=True)
async def healthy(call: Call) -> None:
    """Answer as one should."""
    await call.deliver(await call.generate())


# --- prompts ----------------------------------------------------------------------------------------------------------


@REPLIES.add(bills=True, is_readable=True, prompts="chinese", latency_s=0.3)
async def chinese_prompts(call: Call) -> None:
    """Answer as one should; the share is that of prompts of 3,000 characters with 1.0 to 1.5 tokens each."""
    await healthy(call)


# --- connections ------------------------------------------------------------------------------------------------------


@REPLIES.add(bills=True)
async def status_504_generated(call: Call) -> None:
    """Generate, and fail with 504 at the gateway."""
    await call.generate()
    await call.refuse(504, "<html><body>Gateway Time-out</body></html>", content_type=HTML_TYPE)


@REPLIES.add(bills=True)
async def reset_generated(call: Call) -> None:
    """Reset the connection when all was generated and nothing sent."""
    await call.generate()
    call.reset()


@REPLIES.add(bills=True)
async def reset_mid_body(call: Call) -> None:
    """Reset the connection in the middle of the body."""
    content = json.dumps(await call.generate()).encode()
    call.write(head(200, len(content)) + content[: len(content) // 2])
    await call.drain()
    await asyncio.sleep(0.01)
    call.reset()


@REPLIES.add(bills=True)
async def length_too_long(call: Call) -> None:
    """State more bytes than come, and end the connection."""
    content = json.dumps(await call.generate()).encode()
    call.write(head(200, len(content) + 1000) + content)
    await call.drain()
    call.close()


@REPLIES.add(bills=True)
async def hang(call: Call) -> None:
    """Generate, and never answer."""
    await call.generate()
    await call.client_leaves()
    call.reset()


@REPLIES.add(bills=True)
async def slow(call: Call) -> None:
    """Answer well, but later than the client waits."""
    body = await call.generate()
    await asyncio.sleep(1.3 * call.spec.timeout_s + 1.5)
    await call.deliver(body)


@REPLIES.add(bills=True)
async def trickle(call: Call) -> None:
    """Send the body byte by byte, so that no single read times out."""
    content = json.dumps(await call.generate()).encode()
    call.write(head(200, len(content)))
    for byte in content:
        call.write(bytes([byte]))
        if await call.client_leaves(TRICKLE_S):
            break
    call.reset()


@REPLIES.add(bills=True, is_readable=True)
async def duplicate_response(call: Call) -> None:
    """Send the same response twice."""
    await call.deliver(await call.generate(), copies=2)


# --- bodies -----------------------------------------------------------------------------------------------------------


@REPLIES.add(bills=True)
async def truncated_json(call: Call) -> None:
    """Send two thirds of the JSON as if it were all."""
    content = json.dumps(await call.generate()).encode()
    await call.deliver(content[: len(content) * 2 // 3])


@REPLIES.add(bills=True)
async def empty_body(call: Call) -> None:
    """Send nothing, with status 200."""
    await call.generate()
    await call.deliver(b"")


@REPLIES.add(bills=True)
async def html_200(call: Call) -> None:
    """Send a page instead of what was generated."""
    await call.generate()
    await call.deliver("<html><body>Welcome to the gateway</body></html>", HTML_TYPE)


@REPLIES.add(bills=True, is_readable=True)
async def event_stream(call: Call) -> None:
    """Send a stream of events though none was asked for."""
    content = json.dumps(await call.generate())
    await call.deliver(f"data: {content}\n\ndata: [DONE]\n\n", "text/event-stream")


@REPLIES.add(bills=True, rows=16)
async def huge_body(call: Call) -> None:
    """Send 30 MB of blanks before the JSON."""
    content = json.dumps(await call.generate()).encode()
    call.write(head(200, HUGE_BYTES + len(content)))
    call.write(b" " * ENOUGH_BYTES)
    await call.drain()
    call.has_arrived()  # a client that hangs up from now on has chosen to
    call.write(b" " * (HUGE_BYTES - ENOUGH_BYTES) + content)
    await call.drain()


@REPLIES.add(bills=True, is_readable=True)
async def byte_order_mark(call: Call) -> None:
    """Begin the body with a byte order mark."""
    content = json.dumps(await call.generate()).encode()
    await call.deliver(b"\xef\xbb\xbf" + content)


@REPLIES.add(bills=True, is_readable=True)
async def wrong_content_type(call: Call) -> None:
    """Call the JSON a page."""
    await call.deliver(await call.generate(), HTML_TYPE)


@REPLIES.add(bills=True, is_readable=True)
async def latin_1(call: Call) -> None:
    """Send JSON in Latin-1."""
    body = await call.generate()
    body["served_by"] = "Café"
    content = json.dumps(body, ensure_ascii=False).encode("latin-1")
    await call.deliver(content, "application/json; charset=iso-8859-1")


# --- choices ----------------------------------------------------------------------------------------------------------


@REPLIES.add(bills=True)
async def choices_empty(call: Call) -> None:
    """Send no choices."""
    await call.deliver(await call.generate() | {"choices": []})


@REPLIES.add(bills=True, is_readable=True)
async def choices_fewer(call: Call) -> None:
    """Send three choices fewer than were asked for, and at least one."""
    await call.deliver(await call.generate(max(1, call.asked.n - 3)))


@REPLIES.add(bills=True)
async def content_null(call: Call) -> None:
    """Send a refusal instead of a text."""
    body = await call.generate()
    for choice in body["choices"]:
        if call.asked.is_chat:
            choice["message"] = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        else:
            choice["text"] = None
    await call.deliver(body)


@REPLIES.add(bills=True, is_readable=True, is_chat_only=True)
async def content_parts(call: Call) -> None:
    """Send each content as a list of parts."""
    body = await call.generate()
    for choice in body["choices"]:
        message = choice["message"]
        message["content"] = [{"type": "text", "text": message["content"]}]
    await call.deliver(body)


@REPLIES.add(bills=True, is_readable=True)
async def choices_reversed(call: Call) -> None:
    """Send the choices last first."""
    body = await call.generate()
    body["choices"].reverse()
    await call.deliver(body)


@REPLIES.add(bills=True, is_readable=True)
async def ignores_n(call: Call) -> None:
    """Generate one choice, whatever was asked for."""
    await call.deliver(await call.generate(1))


@REPLIES.add(bills=True, is_readable=True, latency_s=0.3)
async def ignores_max_tokens(call: Call) -> None:
    """Generate 3.3 times the tokens that were asked for."""
    await call.deliver(await call.generate(token_ratio=3.3))


# --- usage ------------------------------------------------------------------------------------------------------------


async def _with_usage(call: Call, change: Callable[[dict[str, int]], object]) -> None:
    body = await call.generate()
    body["usage"] = change(body["usage"])
    await call.deliver(body)


@REPLIES.add(bills=True, is_readable=True)
async def usage_missing(call: Call) -> None:
    """State no usage; more was billed than the texts show, as with a model that thinks."""
    body = await call.generate()
    del body["usage"]
    await call.deliver(body)


@REPLIES.add(bills=True, is_readable=True)
async def usage_null(call: Call) -> None:
    """State null as usage."""
    await _with_usage(call, lambda usage: None)


@REPLIES.add(bills=True, is_readable=True)
async def usage_empty(call: Call) -> None:
    """State an empty object as usage."""
    await _with_usage(call, lambda usage: {})


@REPLIES.add(bills=True, is_readable=True)
async def usage_strings(call: Call) -> None:
    """State usage in strings."""
    await _with_usage(call, lambda usage: {name: str(tokens) for name, tokens in usage.items()})


@REPLIES.add(bills=True, is_readable=True)
async def usage_other_names(call: Call) -> None:
    """State usage by the names of the newer API."""
    await _with_usage(
        call, lambda usage: {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    )


@REPLIES.add(bills=True, is_readable=True)
async def usage_no_completion(call: Call) -> None:
    """State prompt and total tokens alone."""
    await _with_usage(
        call, lambda usage: {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["total_tokens"]}
    )


@REPLIES.add(bills=True, is_readable=True)
async def usage_underflow(call: Call) -> None:
    """State 2^64 - 1 completion tokens."""
    await _with_usage(call, lambda usage: usage | {"completion_tokens": 2**64 - 1})


@REPLIES.add(bills=True, is_readable=True)
async def usage_negative(call: Call) -> None:
    """State negative tokens."""
    await _with_usage(call, lambda usage: {"prompt_tokens": -5, "completion_tokens": -5, "total_tokens": -10})


@REPLIES.add(bills=True, is_readable=True)
async def usage_infinite(call: Call) -> None:
    """State infinitely many completion tokens."""
    await _with_usage(call, lambda usage: usage | {"completion_tokens": float("inf")})

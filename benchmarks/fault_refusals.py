"""Misbehaviours before anything is generated: what they refuse is not billed."""

from __future__ import annotations

import email.utils
import time

from fault_call import HTML_TYPE, NO_HEADERS, Call, Headers
from fault_kind import Kinds
from fault_replies import healthy

CLOCK_AHEAD_S = 3600
OUTAGE_S = 0.3

REFUSALS = Kinds()


def error(message: str, code: object = None, **fields: object) -> dict[str, object]:
    """Return the body of an error as OpenAI's endpoints send it."""
    return {"error": {"message": message, "type": "error", "code": code, **fields}}


# --- rate limits and quotas -------------------------------------------------------------------------------------------


async def _rate_limit(call: Call, headers: Headers = NO_HEADERS) -> None:
    await call.refuse(429, error("Rate limit reached. Slow down.", "rate_limit_exceeded"), headers)


@REFUSALS.add(bills=False)
async def rate_limit_seconds(call: Call) -> None:
    """Ask for a second's wait."""
    await _rate_limit(call, {"Retry-After": "1"})


@REFUSALS.add(bills=False)
async def rate_limit_ms(call: Call) -> None:
    """Ask for 200 milliseconds' wait, as OpenAI does."""
    await _rate_limit(call, {"retry-after-ms": "200"})


@REFUSALS.add(bills=False)
async def rate_limit_date(call: Call) -> None:
    """Ask for a second's wait by a date, from a clock that is an hour ahead."""
    now = time.time() + CLOCK_AHEAD_S
    date = email.utils.formatdate(now, usegmt=True)
    await _rate_limit(call, {"Date": date, "Retry-After": email.utils.formatdate(now + 1, usegmt=True)})


@REFUSALS.add(bills=False)
async def rate_limit_day(call: Call) -> None:
    """Ask for a day's wait, as a daily quota does."""
    await _rate_limit(call, {"Retry-After": "86400"})


@REFUSALS.add(bills=False)
async def rate_limit_ages(call: Call) -> None:
    """Ask for 317 years' wait."""
    await _rate_limit(call, {"Retry-After": "9999999999"})


@REFUSALS.add(bills=False)
async def rate_limit_bare(call: Call) -> None:
    """Refuse with 429 and no word of why or how long."""
    await call.refuse(429, "Too Many Requests", content_type="text/plain")


@REFUSALS.add(bills=False)
async def quota_day(call: Call) -> None:
    """Refuse as a spent daily quota of Google's does: no Retry-After, no code that OpenAI has."""
    message = "Quota exceeded for quota metric 'Generate requests per day'"
    await call.refuse(429, error(message, 429, status="RESOURCE_EXHAUSTED"))


@REFUSALS.add(bills=False)
async def insufficient_quota(call: Call) -> None:
    """Refuse for an empty account."""
    await call.refuse(429, error("You exceeded your current quota.", "insufficient_quota"))


# --- error statuses ---------------------------------------------------------------------------------------------------


@REFUSALS.add(bills=False)
async def status_500(call: Call) -> None:
    """Fail with 500."""
    await call.refuse(500, error("The server had an error."))


@REFUSALS.add(bills=False)
async def status_502(call: Call) -> None:
    """Fail with 502 and an empty body."""
    await call.refuse(502, b"")


@REFUSALS.add(bills=False)
async def status_503_html(call: Call) -> None:
    """Fail with 503 and a page."""
    await call.refuse(503, "<html><body>Service Unavailable</body></html>", content_type=HTML_TYPE)


@REFUSALS.add(bills=False, is_readable=True)
async def unauthorized_once(call: Call) -> None:
    """Reject the key once, as a gateway does that renews its token, and never again."""
    if call.count > 1:
        await healthy(call)
    else:
        await unauthorized(call)


@REFUSALS.add(bills=False)
async def unauthorized(call: Call) -> None:
    """Reject the key."""
    await call.refuse(401, error("Incorrect API key provided.", "invalid_api_key"))


@REFUSALS.add(bills=False)
async def forbidden(call: Call) -> None:
    """Refuse with 403."""
    await call.refuse(403, error("Your region is not supported.", "unsupported_country"))


@REFUSALS.add(bills=False)
async def not_found(call: Call) -> None:
    """Refuse with 404."""
    await call.refuse(404, "404 page not found", content_type="text/plain")


@REFUSALS.add(bills=False)
async def stream_only(call: Call) -> None:
    """Refuse what does not ask for a stream."""
    await call.refuse(400, error("This endpoint only supports streaming; set stream=true."))


@REFUSALS.add(bills=False)
async def policy_stop(call: Call) -> None:
    """Refuse a prompt for its content, in words that name a parameter."""
    await call.refuse(400, error("Content not allowed by policy: the prompt asks how to stop a treatment."))


@REFUSALS.add(bills=False)
async def prompt_echo(call: Call) -> None:
    """Refuse a prompt, and repeat it."""
    await call.refuse(400, error(f"This request is not supported: {call.asked.prompt[:200]}"))


@REFUSALS.add(bills=False)
async def redirect(call: Call) -> None:
    """Redirect to a page for logging in."""
    await call.refuse(302, b"", {"Location": "/login"}, HTML_TYPE)


@REFUSALS.add(bills=False)
async def error_object_200(call: Call) -> None:
    """Say with status 200 that it failed."""
    await call.refuse(200, error("The upstream is overloaded.", 502))


# --- pages that show the key ------------------------------------------------------------------------------------------


async def _echo(call: Call, status: int, padding: int, shown: int | None = None) -> None:
    """Show the Authorization header on a page, whole or its first characters, after so much padding."""
    header = call.asked.authorization[:shown]
    page = f"<html>{'x' * padding} Authorization: {header}</html>"
    await call.refuse(status, page, content_type=HTML_TYPE)


@REFUSALS.add(bills=False)
async def key_echo_401(call: Call) -> None:
    """Reject the key and show it."""
    await _echo(call, 401, 0)


@REFUSALS.add(bills=False)
async def key_echo_401_late(call: Call) -> None:
    """Reject the key and show it where a message of 300 characters is cut."""
    await _echo(call, 401, 200)


@REFUSALS.add(bills=False)
async def key_echo_401_part(call: Call) -> None:
    """Reject the key and show its beginning."""
    await _echo(call, 401, 0, 60)


@REFUSALS.add(bills=False)
async def key_echo_200(call: Call) -> None:
    """Show the key on a page with status 200."""
    await _echo(call, 200, 0)


@REFUSALS.add(bills=False)
async def key_echo_200_late(call: Call) -> None:
    """Show the key on a page with status 200, where a message of 120 characters is cut."""
    await _echo(call, 200, 40)


# --- connections ------------------------------------------------------------------------------------------------------


@REFUSALS.add(bills=False)
async def outage(call: Call) -> None:
    """Break every connection and refuse new ones: for a moment, or for good if every call is to fail."""
    call.stop_listening(None if call.spec.share >= 1 else OUTAGE_S)


@REFUSALS.add(bills=False)
async def reset_at_once(call: Call) -> None:
    """Reset the connection before anything was generated."""
    call.reset()

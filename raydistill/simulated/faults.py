"""Faults: errors, junk and broken connections, scripted or at random."""

from __future__ import annotations

import socket
import struct
from random import Random

from aiohttp import web

from raydistill.config import SimulatedSettings
from raydistill.simulated.error_reply import ErrorReply
from raydistill.simulated.script import Rule

RANDOM_FAULTS = (Rule(status=500), Rule(reset=True), Rule(status=503, body="<html>busy</html>"))


def random_fault(settings: SimulatedSettings, prompt: str, attempt: int) -> Rule | None:
    """Draw a fault for the `attempt`-th request for a prompt in `fault_fraction` of the cases, the same every time."""
    if not settings.fault_fraction:
        return None
    rng = Random(f"{settings.seed}\0{attempt}\0{prompt}")
    if rng.random() >= settings.fault_fraction:
        return None
    return rng.choice(RANDOM_FAULTS)


def fault_response(http: web.Request, fault: Rule) -> web.Response:
    """Return the reply of a fault; resets the connection first if the fault says so."""
    if fault.reset:
        reset_connection(http)
    if fault.body is not None:
        status = fault.status or 200
        return web.Response(text=fault.body, status=status, content_type="application/json", headers=fault.headers)
    status = fault_status(fault)
    message = fault.message if fault.message is not None else f"A simulated fault, status {status}."
    return ErrorReply(status, message, fault.code, fault.headers).response()


def fault_status(fault: Rule) -> int:
    """Return the status that a fault counts as."""
    return fault.status or 500


def reset_connection(http: web.Request) -> None:
    """Break the connection with a TCP reset."""
    if http.transport is None:
        return
    connection = http.transport.get_extra_info("socket")
    if connection:
        no_lingering = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
    http.transport.abort()


async def truncated_response(http: web.Request, body: bytes, length: int) -> web.StreamResponse:
    """Send `length` bytes of the body, whose full length the headers announce, and close the connection."""
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(http)
    await response.write(body[:length])
    if http.transport:
        http.transport.close()
    return response

"""Parameters that the teacher's model refuses, and how a run finds them out.

The first refusal (a 400 that names a parameter) costs nothing and stops the stage; a probe of a few tokens finds out
what else is refused, and the stage starts anew without it, under other journal keys. `Endpoint.refuses` holds what is
known. So much follows from a refusal that a guess, read out of an error's free text, is not believed: what mentions how
to "stop" something is about one prompt. A probe, which holds no prompt to be misread, decides.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from raydistill.config import TeacherSettings
from raydistill.teacher import journal
from raydistill.teacher.api import errors, retries
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import Request, temperature_name
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal import readings, scan
from raydistill.teacher.limits.messages import StopReason

TIMEOUT_S = 15.0
PROBE_TOKENS = 16
PROBE_ATTEMPTS = 4  # of a probe that has to decide


def learn_refusals(endpoint: Endpoint, stop: StopReason, settings: TeacherSettings, folder: journal.Folder) -> None:
    """Find out about a parameter that a call seems to have been refused for, and which others are refused.

    A guess that turns out wrong, or that no probe could confirm, is noted in `Endpoint.takes`.

    Args:
        endpoint: what is known of it grows.
        stop: names the parameter, and says whether that is a guess.
        settings: the teacher's.
        folder: the journal, where answers to requests with that parameter show that the model takes it.

    Raises:
        TeacherError: no request is left that could be sent.
    """
    if stop.is_guess:
        is_taken = stop.parameter in endpoint.takes or was_taken(folder, endpoint, stop.parameter)
        if is_taken or not asyncio.run(_is_refused(endpoint, stop.parameter, settings)):
            endpoint.takes.add(stop.parameter)
            return
    endpoint.note_refusal(stop.parameter, settings.dialect)
    asyncio.run(_learn_others(endpoint, settings))


def was_taken(folder: journal.Folder, endpoint: Endpoint, parameter: str) -> bool:
    """Return whether the journal holds an answer of the endpoint's model to a request with `parameter`.

    Args:
        folder: the journal.
        endpoint: whose answers count.
        parameter: as `Endpoint.refuses` names it.
    """
    for entry in scan.scan(folder):
        request = entry.get("request")
        if request is None or request["base_url"] != endpoint.identity or request["model"] != endpoint.model:
            continue
        if _carries(request, parameter) and readings.read(entry).error is None:
            return True
    return False


def _carries(canonical: dict[str, Any], parameter: str) -> bool:
    """Return whether a request, as the journal holds it, was sent with `parameter`."""
    name, _, value = parameter.partition("=")
    sent = canonical.get(name)
    if sent is None or sent == []:
        return False
    return not value or temperature_name(sent) == parameter


def connect(endpoint: Endpoint, settings: TeacherSettings) -> Client:
    """Connect for a look at the endpoint, which should not take longer than `TIMEOUT_S`."""
    return endpoint.client(settings.dialect, min(TIMEOUT_S, settings.timeout))


async def probe(endpoint: Endpoint, settings: TeacherSettings, client: Client) -> None:
    """Note which of a stage's parameters the model refuses; CallError if it rejects the request whatever it holds."""
    for temperature in (0.0, settings.temperature):
        await _probe_temperature(endpoint, settings, client, temperature)
        if temperature_name(0.0) not in endpoint.refuses:
            return  # it takes 0, and so it will others


async def _learn_others(endpoint: Endpoint, settings: TeacherSettings) -> None:
    client = connect(endpoint, settings)
    try:
        await probe(endpoint, settings, client)
    except CallError:
        pass  # the stage's calls will meet it too
    finally:
        await client.close()


async def _is_refused(endpoint: Endpoint, parameter: str, settings: TeacherSettings) -> bool:
    """Return whether a request is refused with `parameter` and accepted without it; no answer proves nothing."""
    trial = dataclasses.replace(endpoint, refuses=set(endpoint.refuses), takes=set())
    name, _, value = parameter.partition("=")
    temperature = float(value) if name == "temperature" else settings.temperature
    client = connect(trial, settings)
    try:
        await _probe_temperature(trial, settings, client, temperature, PROBE_ATTEMPTS)
    except CallError:
        return False
    finally:
        await client.close()
    return parameter in trial.refuses


async def _probe_temperature(
    endpoint: Endpoint, settings: TeacherSettings, client: Client, temperature: float, attempts: int = 1
) -> None:
    """Repeat one request, each time without what was refused, until it is accepted.

    Args:
        endpoint: what it refuses and takes is noted; a refusal that is a guess only if the request is accepted at last.
        settings: the teacher's.
        client: connected to the endpoint.
        temperature: of the request.
        attempts: at each request, while its errors may pass.

    Raises:
        CallError: it is not accepted whatever is left out.
    """
    trial = dataclasses.replace(endpoint, refuses=set(endpoint.refuses))
    while True:
        request = trial.request(settings.dialect, "Hello", PROBE_TOKENS, temperature, ("\nQ:",))
        try:
            await _send(request, settings, client, attempts)
            break
        except CallError as error:
            if error.code == errors.OUTPUT_LIMIT:
                break  # a model that thinks first: it took the request
            refused = request.refused_parameter(error)
            if not refused:
                raise
            trial.note_refusal(refused, settings.dialect)
            if not error.is_guess:
                endpoint.note_refusal(refused, settings.dialect)
    endpoint.refuses.update(trial.refuses)
    endpoint.takes.update(request.parameters)


async def _send(request: Request, settings: TeacherSettings, client: Client, attempts: int) -> None:
    """Send a request until a completion came; CallError if none does."""
    attempt = 0
    while True:
        attempt += 1
        try:
            response = await client.send(request, [0])
            client.dialect.read_reply(response.content)
            return
        except CallError as error:
            if not error.retryable or attempt >= attempts:
                raise
            wait_s = retries.backoff(attempt, settings.backoff_s, error)
        await asyncio.sleep(wait_s)

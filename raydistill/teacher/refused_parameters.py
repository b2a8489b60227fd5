"""Parameters that the teacher's model refuses, and how a run finds them out.

The first refusal (a 400 that names a parameter) costs nothing and stops the stage; a probe of a few tokens finds out
what else is refused, and the stage starts anew without it. `Endpoint.refuses` holds what is known.
"""

from __future__ import annotations

import asyncio

from raydistill.config import TeacherSettings
from raydistill.teacher.api import errors
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import temperature_name
from raydistill.teacher.endpoint import Endpoint

TIMEOUT_S = 15.0
PROBE_TOKENS = 16


def learn_refusals(endpoint: Endpoint, refused: str, settings: TeacherSettings) -> None:
    """Note a parameter that a call found refused, and find out which others are: models that refuse one refuse several.

    Raises:
        TeacherError: no request is left that could be sent.
    """
    endpoint.note_refusal(refused, settings.dialect)
    asyncio.run(_learn_refusals(endpoint, settings))


def connect(endpoint: Endpoint, settings: TeacherSettings) -> Client:
    """Connect for a look at the endpoint, which should not take longer than `TIMEOUT_S`."""
    return endpoint.client(settings.dialect, min(TIMEOUT_S, settings.timeout))


async def probe(endpoint: Endpoint, settings: TeacherSettings, client: Client) -> None:
    """Note which of a stage's parameters the model refuses; CallError if it rejects the request whatever it holds."""
    for temperature in (0.0, settings.temperature):
        await _probe_temperature(endpoint, settings, client, temperature)
        if temperature_name(0.0) not in endpoint.refuses:
            return  # it takes 0, and so it will others


async def _learn_refusals(endpoint: Endpoint, settings: TeacherSettings) -> None:
    client = connect(endpoint, settings)
    try:
        await probe(endpoint, settings, client)
    except CallError:
        pass  # the stage's calls will meet it too
    finally:
        await client.close()


async def _probe_temperature(endpoint: Endpoint, settings: TeacherSettings, client: Client, temperature: float) -> None:
    """Repeat one request, each time without what was refused, until it is accepted."""
    while True:
        request = endpoint.request(settings.dialect, "Hello", PROBE_TOKENS, temperature, ("\nQ:",))
        try:
            await client.send(request, [0])
            return
        except CallError as error:
            if error.code == errors.OUTPUT_LIMIT:
                return  # a model that thinks first: it took the request
            refused = request.refused_parameter(error)
            if not refused:
                raise
            endpoint.note_refusal(refused, settings.dialect)

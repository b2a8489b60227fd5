"""Requests that are sent before a stage: is the address right, the key, the model, and what does the model refuse?"""

from __future__ import annotations

import asyncio
import difflib

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher import refused_parameters
from raydistill.teacher.api import errors
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.endpoint import Endpoint

LISTED = 5  # models that an error lists if none has a similar name


def preflight(endpoint: Endpoint, settings: TeacherSettings) -> None:
    """Get the endpoint's list of models and, if that does not settle whether requests will pass, a few tokens.

    A listed model is not sent a request: its tokens are in no ledger, and what it may refuse the first call finds out,
    which costs nothing. Only a batch that is rejected costs a day.

    Raises:
        TeacherError: within seconds, naming the setting that is wrong.
    """
    asyncio.run(_preflight(endpoint, settings))


async def _preflight(endpoint: Endpoint, settings: TeacherSettings) -> None:
    client = refused_parameters.connect(endpoint, settings)
    try:
        models = await client.models()
        is_listed = models is not None and endpoint.model in models
        if not is_listed or settings.transport == "batch":
            await _check_request(endpoint, settings, client, models)
    except CallError as error:
        raise _explained(error, endpoint, settings) from None
    finally:
        await client.close()


async def _check_request(
    endpoint: Endpoint, settings: TeacherSettings, client: Client, models: list[str] | None
) -> None:
    """Send a test request.

    Args:
        endpoint: Where to.
        settings: The teacher's.
        client: Connected to the endpoint.
        models: The endpoint's models; None if it does not list them.

    Raises:
        TeacherError: the model is none of the listed ones.
        CallError: the request fails for another reason.
    """
    try:
        await refused_parameters.probe(endpoint, settings, client)
    except CallError as error:
        if models is None:
            raise
        if error.retryable:
            return  # the server is there; the retries of the stage deal with the rest
        is_unknown = error.status == 404 or error.code == errors.MODEL_NOT_FOUND
        if is_unknown and endpoint.model not in models:
            raise _unknown_model(error, endpoint, models) from None
        raise


def _unknown_model(error: CallError, endpoint: Endpoint, models: list[str]) -> TeacherError:
    similar = difflib.get_close_matches(endpoint.model, models, 3, 0.3) or models[:LISTED]
    offer = f" It offers: {', '.join(similar)}." if similar else ""
    return TeacherError(
        f"The endpoint {endpoint.base_url} does not know the model {endpoint.model!r} (--teacher.model): "
        f"{error.message}.{offer}",
        "Give the model's name as the endpoint knows it.",
    )


def _explained(error: CallError, endpoint: Endpoint, settings: TeacherSettings) -> TeacherError:
    if error.status in (401, 403):
        return TeacherError(
            f"The endpoint {endpoint.base_url} rejects the API key from the environment variable "
            f"{settings.api_key_env}: {error.message}",
            "Set the variable to a valid key (setting teacher.api_key_env names it).",
        )
    if error.status == 402 or error.code == errors.NO_CREDIT:
        return TeacherError(
            f"The account at {endpoint.base_url} has no credit: {error.message}",
            "Add credit, or set another key (setting teacher.api_key_env names its variable).",
        )
    if error.status is not None and 300 <= error.status < 400:
        return TeacherError(
            f"The endpoint {endpoint.base_url} does not answer by itself: {error.message}",
            "Redirects are not followed, as they would take the key with them.",
        )
    if error.retryable:
        return TeacherError(
            f"No answer from {endpoint.base_url} (--teacher.base_url): {error.message}",
            "Check the address and the network; is the server running?",
        )
    if error.kind == "unreadable":
        return TeacherError(
            f"{endpoint.base_url} answers a test request with no completion: {error.message}",
            "Check --teacher.base_url (most end in /v1) and --teacher.dialect.",
        )
    if error.status is None:  # it was never sent
        return TeacherError(error.message, f"Set {settings.api_key_env} to a valid key.")
    return TeacherError(
        f"{endpoint.base_url} rejects a test request for model {endpoint.model!r} in the dialect {settings.dialect}: "
        f"{error.message}",
        "Check --teacher.model and --teacher.dialect.",
    )

"""Open the teacher's endpoint: start simulated and local servers, and check a real one before any work is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from pydantic import SecretStr

from raydistill.config import Affects, TeacherSettings
from raydistill.runtime import files
from raydistill.runtime.errors import TeacherError
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.limits import pricing
from raydistill.teacher.preflight import preflight

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
DIGEST_CHARACTERS = 16  # of the hash that stands for a local or simulated teacher


@contextmanager
def open_endpoint(settings: TeacherSettings) -> Iterator[Endpoint]:
    """Start what has to be started, check that the endpoint answers and that key and model are right; stop it after.

    Raises:
        TeacherError: the key's variable is not set, nobody answers, the key or the model is rejected, or a dollar
            budget is set for a model without a known price.
    """
    pricing.find(settings)
    if settings.kind == "simulated":
        with _simulated(settings) as endpoint:
            yield endpoint
    elif settings.kind == "local":
        with _local(settings) as endpoint:
            yield endpoint
    else:
        base_url = settings.base_url.rstrip("/")
        label = f"{settings.model} at {base_url}"
        endpoint = Endpoint(base_url, settings.model, label, base_url, _key(settings), settings.seed)
        preflight(endpoint, settings)
        yield endpoint


@contextmanager
def _simulated(settings: TeacherSettings) -> Iterator[Endpoint]:
    from raydistill import simulated

    behaviour = json.dumps(settings.simulated.affecting(Affects.RESULT), sort_keys=True)
    digest = hashlib.sha256(behaviour.encode()).hexdigest()[:DIGEST_CHARACTERS]
    # The program draws by seed: without one, every further request for a sample would bring the same text.
    seed = settings.simulated.seed if settings.seed is None else settings.seed
    with simulated.serve(settings.simulated) as server:
        yield Endpoint(
            base_url=server.base_url,
            model=server.model,
            label="simulated teacher (a program, no model)",
            identity=f"simulated:{digest}",
            key=SecretStr("simulated"),
            seed=seed,
        )


@contextmanager
def _local(settings: TeacherSettings) -> Iterator[Endpoint]:
    from raydistill.teacher import local_server

    gguf = local_server.gguf_file(settings.local)
    with local_server.serve(settings.local) as server:
        yield Endpoint(
            base_url=server.base_url,
            model=server.model,
            label=f"{server.model} (local llama.cpp server)",
            identity=f"local:{files.file_hash(gguf)[:DIGEST_CHARACTERS]}",
            key=SecretStr("local"),
            seed=settings.seed,
        )


def _key(settings: TeacherSettings) -> SecretStr:
    key = os.environ.get(settings.api_key_env, "").strip()
    if key:
        return SecretStr(key)
    if urlsplit(settings.base_url).hostname in THIS_MACHINE:
        return SecretStr("none")  # servers on this machine rarely need one; those that do answer 401
    raise TeacherError(
        f"The environment variable {settings.api_key_env} is not set: {settings.base_url} needs an API key.",
        "Set it, or name another one with --teacher.api_key_env. The key itself is never a setting.",
    )

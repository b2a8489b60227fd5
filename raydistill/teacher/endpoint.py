"""The teacher's address: opened (simulated and local servers are started), and checked before any work is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr

from raydistill.config import Affects, TeacherSettings
from raydistill.runtime import files
from raydistill.runtime.errors import TeacherError
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.request import Request, temperature_name
from raydistill.teacher.limits import pricing
from raydistill.teacher.preflight import preflight

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
DIGEST_CHARACTERS = 16  # of the hash that stands for a local or simulated teacher


@dataclass(frozen=True)
class Endpoint:
    """Where the teacher answers, and which parameters it does not take.

    `refuses` grows when a stage finds out more, so that the next stage knows.
    """

    base_url: str
    model: str
    label: str
    """For people: "gpt-… at https://…", "simulated teacher (a program, no model)"."""
    identity: str
    """What stands for the endpoint in journal keys."""
    key: SecretStr
    """The API key; prints masked."""
    seed: int | None
    refuses: set[str] = field(default_factory=set)
    """Refused parameters: max_tokens (under this name), stop, seed, temperature=0 …"""

    def request(
        self, dialect: str, prompt: str, max_tokens: int, temperature: float, stop: tuple[str, ...] = ()
    ) -> Request:
        """Make the request as this model takes it: the only place that decides what is left out.

        Args:
            dialect: Value of the setting `teacher.dialect`.
            prompt: Text to continue or to reply to.
            max_tokens: Limit of one completion.
            temperature: 0 for greedy decoding.
            stop: Sequences that end a completion.
        """
        takes_temperature = temperature_name(temperature) not in self.refuses
        takes_stop = "stop" not in self.refuses
        takes_seed = "seed" not in self.refuses
        return Request(
            identity=self.identity,
            dialect=dialect,
            model=self.model,
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=temperature if takes_temperature else None,
            stop=stop if takes_stop else (),
            seed=self.seed if takes_seed else None,
            limit_name=self._limit_name(dialect),
        )

    def note_refusal(self, parameter: str, dialect: str) -> None:
        """Leave `parameter` out of all further requests.

        Raises:
            TeacherError: the model was sent none of it, or takes no limit by any name: there is no other request.
        """
        limit_names = dialects.load(dialect).limit_names
        refuses = {*self.refuses, parameter}
        if parameter in self.refuses or refuses.issuperset(limit_names):
            raise TeacherError(
                f"{self.label} takes no completion limit ({' or '.join(limit_names)}): "
                "no limit could be set to what a call costs.",
                "Use another model or endpoint (--teacher.model, --teacher.dialect).",
            )
        self.refuses.add(parameter)

    def client(self, dialect: str, timeout_s: float) -> Client:
        """Connect; call it inside the event loop that uses the client."""
        return Client(self.base_url, self.key.get_secret_value(), timeout_s, dialect)

    def _limit_name(self, dialect: str) -> str:
        """Return the first name of the completion limit that the model has not refused."""
        limit_names = dialects.load(dialect).limit_names
        for name in limit_names:
            if name not in self.refuses:
                return name
        return limit_names[-1]


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

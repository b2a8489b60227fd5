"""The teacher's address: opened (simulated and local servers are started), and checked before any work is done."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from raydistill.config import Affects, TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher.api.client import Client
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.api.request import NEWER_LIMIT, Request, temperature_name
from raydistill.teacher.limits import pricing

PREFLIGHT_S = 15.0
PROBE_TOKENS = 16
STARVED = "output limit was reached"  # all tokens went into thinking


@dataclass(frozen=True)
class Endpoint:
    """Where the teacher answers. `identity` stands for it in journal keys; `key` prints masked.

    `refuses` names parameters that the model does not take: max_tokens (under this name), stop, seed, temperature=0 …
    It grows where a stage finds out more, so that the next stage knows.
    """

    base_url: str
    model: str
    label: str  # for people: "gpt-… at https://…", "simulated teacher (a program, no model)"
    identity: str
    key: SecretStr
    seed: int | None
    refuses: set[str] = field(default_factory=set)

    def request(
        self, api: str, prompt: str, max_tokens: int, temperature: float, stop: tuple[str, ...] = ()
    ) -> Request:
        """The request as this model takes it; `api` is completions or chat. The only place that decides it."""
        no = self.refuses
        return Request(
            self.identity,
            api,
            self.model,
            prompt,
            max_tokens,
            None if temperature_name(temperature) in no else temperature,
            () if "stop" in no else stop,
            None if "seed" in no else self.seed,
            NEWER_LIMIT if "max_tokens" in no else "max_tokens",
        )

    def note_refusal(self, what: str) -> None:
        """The model refuses `what`; TeacherError where no request is left that could be sent."""
        if what == NEWER_LIMIT or what in self.refuses:
            raise TeacherError(
                f"{self.label} takes neither max_tokens nor {NEWER_LIMIT}: no limit could be set to what a call costs.",
                "Use another model or endpoint (--teacher.model, --teacher.dialect).",
            )
        self.refuses.add(what)


@contextmanager
def open_endpoint(settings: TeacherSettings) -> Iterator[Endpoint]:
    """Start what has to be started, check that the endpoint answers and that key and model are right; stop it after.

    Raises:
        TeacherError: the key's variable is not set, nobody answers, the key or the model is refused, or a dollar cap is
            set for a model without a known price.
    """
    pricing.find(settings)
    if settings.kind == "simulated":
        from raydistill import simulated

        shown = settings.simulated.affecting(Affects.RESULT)
        identity = f"simulated:{_digest(json.dumps(shown, sort_keys=True).encode())}"
        with simulated.serve(settings.simulated) as server:
            label = "simulated teacher (a program, no model)"
            # The program draws by seed: without one, every further request for a sample would give the same text.
            seed = settings.simulated.seed if settings.seed is None else settings.seed
            yield Endpoint(server.base_url, server.model, label, identity, SecretStr("simulated"), seed)
    elif settings.kind == "local":
        from raydistill.runtime import weights
        from raydistill.teacher import local_server

        gguf = Path(settings.local.gguf).expanduser() if settings.local.gguf else weights.smollm2_gguf()
        with local_server.serve(settings.local) as server:
            label = f"{server.model} (local llama.cpp server)"
            yield Endpoint(
                server.base_url, server.model, label, f"local:{_file_digest(gguf)}", SecretStr("local"), settings.seed
            )
    else:
        base_url = settings.base_url.rstrip("/")
        label = f"{settings.model} at {base_url}"
        endpoint = Endpoint(base_url, settings.model, label, base_url, _key(settings), settings.seed)
        preflight(endpoint, settings)
        yield endpoint


def preflight(endpoint: Endpoint, settings: TeacherSettings) -> None:
    """Ask the endpoint for its models, and, where that does not settle whether requests will pass, for a few tokens.

    A listed model is not asked for any: those are in no ledger, and what it may refuse the first call finds out, which
    costs nothing. Only a batch that is refused costs a day.

    Raises:
        TeacherError: within seconds, naming the setting that is wrong.
    """
    asyncio.run(_preflight(endpoint, settings))


def learn(endpoint: Endpoint, refused: str, settings: TeacherSettings) -> None:
    """Note what a call found refused, and find out what else is: models that refuse one parameter refuse several.

    Raises:
        TeacherError: no request is left that could be sent.
    """
    endpoint.note_refusal(refused)

    async def probe() -> None:
        client = _client(endpoint, settings)
        try:
            await _probe(endpoint, settings, client)
        except CallError:
            pass  # the stage's calls will tell
        finally:
            await client.close()

    asyncio.run(probe())


def _client(endpoint: Endpoint, settings: TeacherSettings) -> Client:
    return Client(endpoint.base_url, endpoint.key.get_secret_value(), min(PREFLIGHT_S, settings.timeout))


async def _preflight(endpoint: Endpoint, settings: TeacherSettings) -> None:
    client = _client(endpoint, settings)
    try:
        models = await client.models()
        listed = models is not None and endpoint.model in models
        if listed and settings.transport == "online":
            return
        try:
            await _probe(endpoint, settings, client)
        except CallError as error:
            if error.kind in ("rate_limit", "transient") and models is not None:
                return  # it answers; the retries of the stage deal with the rest
            near = difflib.get_close_matches(endpoint.model, models or [], 3, 0.3) or (models or [])[:5]
            if models is not None and not listed and ("HTTP 404" in error.message or "model" in error.message.lower()):
                known = f" It offers: {', '.join(near)}." if near else ""
                raise TeacherError(
                    f"The endpoint {endpoint.base_url} does not know the model {endpoint.model!r} "
                    f"(--teacher.model): {error.message}.{known}",
                    "Give the model's name as the endpoint knows it.",
                ) from None
            raise
    except CallError as error:
        raise _explained(error, endpoint, settings) from None
    finally:
        await client.close()


async def _probe(endpoint: Endpoint, settings: TeacherSettings, client: Client) -> None:
    """Note what the model refuses of a stage's parameters; CallError where it refuses everything."""
    for temperature in (0.0, settings.temperature):
        accepted = False
        while not accepted:
            request = endpoint.request(settings.dialect, "Hello", PROBE_TOKENS, temperature, ("\nQ:",))
            try:
                await client.send(request, [0])
                accepted = True
            except CallError as error:
                if what := request.sent(error.parameter):
                    endpoint.note_refusal(what)
                elif STARVED in error.message:  # a model that thinks first
                    accepted = True
                else:
                    raise
        if temperature_name(0.0) not in endpoint.refuses:
            break  # it takes 0, and so will it others


def _explained(error: CallError, endpoint: Endpoint, settings: TeacherSettings) -> TeacherError:
    if "HTTP 401" in error.message or "HTTP 403" in error.message:
        return TeacherError(
            f"The endpoint {endpoint.base_url} refuses the API key from the environment variable "
            f"{settings.api_key_env}: {error.message}",
            "Set the variable to a valid key (setting teacher.api_key_env names it).",
        )
    if error.kind in ("rate_limit", "transient"):
        return TeacherError(
            f"No answer from {endpoint.base_url} (--teacher.base_url): {error.message}",
            "Check the address and the network; is the server running?",
        )
    return TeacherError(
        f"{endpoint.base_url} refuses a test request for model {endpoint.model!r} on the {settings.dialect} endpoint: "
        f"{error.message}",
        "Check --teacher.model and --teacher.dialect (completions or chat).",
    )


def _key(settings: TeacherSettings) -> SecretStr:
    key = os.environ.get(settings.api_key_env, "").strip()
    if key:
        return SecretStr(key)
    if urlsplit(settings.base_url).hostname in ("localhost", "127.0.0.1", "::1"):
        return SecretStr("none")  # servers on this machine rarely want one; those that do answer 401
    raise TeacherError(
        f"The environment variable {settings.api_key_env} is not set: {settings.base_url} needs an API key.",
        "Set it, or name another one with --teacher.api_key_env. The key itself is never a setting.",
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:16]

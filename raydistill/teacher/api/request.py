"""A request to the teacher, and its keys in the journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.dialect import JsonObject
from raydistill.teacher.api.errors import CallError
from raydistill.teacher.journal.keys import sample_keys


@dataclass(frozen=True)
class Request:
    """One prompt with its decoding, as it is sent; callers say how many samples of it they need.

    `Endpoint.request` makes it, without the parameters that the model refuses.
    """

    identity: str
    """What stands for the endpoint: the base URL of a real one. Simulated and local servers listen on another port each
    time and have an identity of their own."""
    dialect: str
    model: str
    prompt: str
    max_tokens: int
    temperature: float | None
    """None for the model's own."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    limit_name: str = "max_tokens"
    """The name under which `max_tokens` is sent (`Dialect.limit_names`)."""

    def canonical(self) -> JsonObject:
        """Return everything that the answer depends on but the sample index; never the API key.

        Its JSON makes the journal's keys: what it returns for a request must never change.
        """
        dialect = dialects.load(self.dialect)
        return {
            "base_url": self.identity,
            "endpoint": self.dialect,
            "model": self.model,
            dialect.prompt_name: dialect.prompt_value(self.prompt),
            self.limit_name: self.max_tokens,
            "temperature": self.temperature,
            "stop": list(self.stop),
            "seed": self.seed,
        }

    def keys(self, samples: Iterable[int]) -> list[str]:
        """Return the journal's key of each of `samples` (`journal/keys.py`)."""
        return sample_keys(self.canonical(), samples)

    def body(self, samples: list[int]) -> JsonObject:
        """Return the JSON body that requests `samples`."""
        return dialects.load(self.dialect).body(self, samples)

    @property
    def parameters(self) -> set[str]:
        """Parameters that this request sends and a model may refuse, as `Endpoint.refuses` holds them."""
        names = {self.limit_name}
        if self.temperature is not None:
            names.add(temperature_name(self.temperature))
        if self.stop:
            names.add("stop")
        if self.seed is not None:
            names.add("seed")
        return names

    def refused_parameter(self, error: CallError) -> str:
        """Return the parameter that `error` refuses, as `Endpoint.refuses` holds it.

        "" if the error is another one, or if this request does not send that parameter.
        """
        if error.kind != "refused" or error.param not in self.body([0]):
            return ""
        name = dialects.load(self.dialect).parameters[error.param]
        if name == "temperature":
            return temperature_name(self.temperature or 0.0)
        return name


def temperature_name(temperature: float) -> str:
    """Return how a refused temperature is noted: by its value, as some models refuse all but 1 and some 0 alone."""
    return f"temperature={temperature:g}"

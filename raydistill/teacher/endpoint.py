"""The teacher's address, and the requests that its model takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr

from raydistill.runtime.errors import TeacherError
from raydistill.teacher.api import dialect as dialects
from raydistill.teacher.api.client import CONNECTIONS, Client
from raydistill.teacher.api.request import Request, temperature_name


@dataclass(frozen=True)
class Endpoint:
    """Where the teacher answers, and which parameters it does not take.

    `refuses` and `takes` grow when a stage finds out more, so that the next stage knows.
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
    takes: set[str] = field(default_factory=set)
    """Parameters that the model was seen to take, or was not seen to refuse when it was tried: an error whose text only
    sounds like a refusal of one of them is about its own prompt."""

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

    def client(self, dialect: str, timeout_s: float, connections: int = CONNECTIONS) -> Client:
        """Connect; call it inside the event loop that uses the client.

        Args:
            dialect: Value of the setting `teacher.dialect`.
            timeout_s: For one request.
            connections: Most requests at once.
        """
        return Client(self.base_url, self.key.get_secret_value(), timeout_s, dialect, connections)

    def _limit_name(self, dialect: str) -> str:
        """Return the first name of the completion limit that the model has not refused."""
        limit_names = dialects.load(dialect).limit_names
        for name in limit_names:
            if name not in self.refuses:
                return name
        return limit_names[-1]

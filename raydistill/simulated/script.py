"""Scripted behaviour: rules that tests and benchmarks post to /admin/script.

{"rules": [...], "answers": {question: gold}}: the first rule that applies to a request decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from raydistill.simulated.completion_request import CompletionRequest
from raydistill.simulated.error_reply import ErrorReply
from raydistill.simulated.parsed_prompt import parse_prompt


@dataclass(kw_only=True)
class Rule:
    """One rule; a field that is left out says nothing."""

    match: str = ""
    """Text that the prompt's last part (from its last "Q:") contains; every request has the empty one."""
    call: str | None = None
    """Only such calls: "rationale", "answer" or "llm_judge"."""
    skip: int = 0
    """Pass over so many matching requests first."""
    times: int | None = None
    """Apply to so many requests, then to no more."""

    delay_s: float = 0.0
    """Seconds to wait before the reply."""
    text: str | list[str] | None = None
    """The completion, or a list of completions, one per sample; stop and max_tokens cut it as ever."""
    gold: str | None = None
    """The right answer, which the teacher then reaches as often as its accuracy says."""
    finish_reason: str | None = None
    """Reported instead of the real one."""
    usage: dict[str, Any] | None = None
    """Reported instead of the real counts."""
    omit_usage: bool = False
    """Report no counts."""
    model: str | None = None
    """The model that the reply names."""

    status: int | None = None
    """Reply with this error."""
    message: str | None = None
    """The error's message."""
    code: str | None = None
    """The error's code."""
    headers: dict[str, str] | None = None
    """Further headers of the reply."""
    body: str | None = None
    """Send this text instead of JSON."""
    truncate: int | None = None
    """Send only so many bytes of the reply, then close the connection."""
    reset: bool = False
    """Reset the connection at once."""
    hang: bool = False
    """Never reply."""
    refuse_n: bool = False
    """Reject n > 1 with status 400."""
    refuses: list[str] = field(default_factory=list)
    """Reject requests that name one of these parameters with status 400."""

    @property
    def is_fault(self) -> bool:
        """Whether the reply is no completion."""
        is_error = self.status is not None and self.status != 200
        return self.reset or is_error or self.body is not None

    def matches(self, last_part: str, call: str) -> bool:
        """Whether the rule applies to a request; counts its `skip` and `times` down."""
        if self.match not in last_part or self.call not in (None, call) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def check_parameters(self, request: CompletionRequest, names: Iterable[str]) -> None:
        """Raise ErrorReply if the request has a parameter (of `names`) that the rule rejects."""
        if self.refuse_n and request.n > 1:
            raise ErrorReply(400, "This model does not support 'n' > 1.", "unsupported_value")
        for name in self.refuses:
            if name in names:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                raise ErrorReply(400, message, "unsupported_parameter")


RULE_FIELDS = sorted(rule_field.name for rule_field in fields(Rule))
DEFAULT_RULE = Rule()


class Script:
    """The rules, and the right answers that the teacher knows."""

    def __init__(self, rules: Sequence[Rule] = (), answers: Mapping[str, str] | None = None) -> None:
        self.rules = list(rules)
        self.answers = dict(answers or {})

    def rule_for(self, prompt: str) -> Rule:
        """Return the first rule that applies to a prompt; one that says nothing if none does."""
        if not self.rules:
            return DEFAULT_RULE
        last_part = prompt[max(0, prompt.rfind("Q:")) :]
        call = parse_prompt(prompt).call
        for rule in self.rules:
            if rule.matches(last_part, call):
                return rule
        return DEFAULT_RULE

    def gold_for(self, prompt: str) -> str | None:
        """Return the right answer to a prompt's question if the script has it."""
        if not self.answers:
            return None
        return self.answers.get(parse_prompt(prompt).question)


def parse_script(body: Mapping[str, Any]) -> Script:
    """Read a script; raises ValueError if a rule has an unknown field."""
    rules = []
    for rule in body.get("rules", []):
        unknown = sorted(set(rule).difference(RULE_FIELDS))
        if unknown:
            raise ValueError(f"Unknown rule fields {unknown}; known: {RULE_FIELDS}")
        rules.append(Rule(**rule))
    return Script(rules, body.get("answers"))

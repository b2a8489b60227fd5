"""What the sections of the settings have in common: what a changed setting makes stale, frozen models, no secrets."""

from __future__ import annotations

import re
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from raydistill.method import methods
from raydistill.method.answer_types import ANSWER_TYPES
from raydistill.method.benchmarks import BENCHMARKS

# Choices that come from records: pydantic checks the names, a type checker sees text.
if TYPE_CHECKING:
    AnswerTypeName = str
    MethodName = str
    TaskName = str
else:
    AnswerTypeName = Literal[tuple(ANSWER_TYPES)]
    MethodName = Literal[tuple(method.name for method in methods.trained())]
    TaskName = Literal[tuple(BENCHMARKS)]

STORAGE_KEYS = "storage takes its keys from its own environment variables or files"


class Affects(Flag):
    """What a changed value of a setting makes stale.

    Written at the setting, as `Annotated[int, Affects.NOTHING]`; an unmarked setting affects the RESULT. Fingerprints
    are made from what is written here (`Section.affecting`), so there is no second list.
    """

    NOTHING = 0
    """It says how, where or at what cost something is done, not what comes out."""
    RESULT = auto()
    """What the section's stage makes; of a student, its weights."""
    PREDICTIONS = auto()
    """What a trained student answers."""
    GRID = auto()
    """Which trials there are, not what one of them learns."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        """Let a single value stand for a list of one: `models: t5-small`."""
        if not isinstance(values, dict):
            return values
        lists = {name for name, info in cls.model_fields.items() if get_origin(info.annotation) is list}
        return {n: [v] if n in lists and isinstance(v, str | int | float) else v for n, v in values.items()}

    def affecting(self, what: Affects) -> dict[str, Any]:
        """Values (JSON-able) of the settings that affect any of `what`, nested sections included."""
        values = self.model_dump(mode="json")
        chosen = {}
        for name, info in type(self).model_fields.items():
            section = getattr(self, name)
            if isinstance(section, Section):
                chosen[name] = section.affecting(what)
            elif affected_by(info) & what:
                chosen[name] = values[name]
        return chosen


def affected_by(info: FieldInfo) -> Affects:
    """What a change of this setting makes stale."""
    marked = [mark for mark in info.metadata if isinstance(mark, Affects)]
    return marked[0] if marked else Affects.RESULT


def without_secret(place: str, instead: str) -> str:
    """Refuse user names, passwords and keys in an address: settings are written down and shown."""
    parts = urlsplit(place)
    if parts.username or parts.password or re.search(r"(?i)secret|key|token|password", parts.query):
        raise ValueError(f"should hold no key or password: {instead}")
    return place

"""What the sections of the settings have in common: what a changed setting makes stale, frozen models, no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
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
    are made from these marks (`Section.affecting`), so there is no second list.
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
    """Base of all settings: frozen, no unknown names, and the docstring under each field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _wrap_single_values(cls, values: Any) -> Any:
        """Let a single value stand for a list of one: `models: t5-small`."""
        if not isinstance(values, dict):
            return values
        wrapped = dict(values)
        for name, value in values.items():
            info = cls.model_fields.get(name)
            if info and is_list(info) and isinstance(value, str | int | float):
                wrapped[name] = [value]
        return wrapped

    def affecting(self, what: Affects) -> dict[str, Any]:
        """Return the values (JSON-able) of the settings that affect any of `what`, nested sections included."""
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
    """Return what a change of this setting makes stale."""
    marked = [mark for mark in info.metadata if isinstance(mark, Affects)]
    return marked[0] if marked else Affects.RESULT


def is_list(info: FieldInfo) -> bool:
    """Return whether the setting takes a list of values."""
    return get_origin(info.annotation) is list


def section_of(info: FieldInfo) -> type[Section] | None:
    """Return the class of a nested section (also of an optional one), None for a setting with a value."""
    for kind in (info.annotation, *get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def leaves(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting of `section` and of its nested sections as (dotted name, field), in their order."""
    for name, info in section.model_fields.items():
        inner = section_of(info)
        if inner:
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def without_secret(place: str, instead: str) -> str:
    """Return the address `place`, or raise ValueError if it holds a user name, password or key.

    Settings are written to the run directory and shown in the report; `instead` says where the secret belongs.
    """
    parts = urlsplit(place)
    if parts.username or parts.password or re.search(r"(?i)secret|key|token|password", parts.query):
        raise ValueError(f"should hold no key or password: {instead}")
    return place

"""The page docs/reference/settings.md: every field of the settings with its type, default, docstring and effect."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from raydistill.config import Settings
from raydistill.config.base import Affects, affected_by

SETTINGS_INTRO = """\
# Settings

Every setting can stand in a YAML file, nested by section, or on the command line with its dotted name:

```yaml
students:
  num_train_epochs: 5
```

```bash
raydistill run my.yaml --students.num_train_epochs 5
```

The command line wins over the file, the file over the default. A single value may stand for a list of one.

*Changes* says what a new value makes stale. A stage whose settings and inputs are unchanged is not run again, and an
answer of the teacher that the journal holds is not bought again, whatever changed.
"""

SECTION_NOTES = {
    "": "What does not belong to a section. These settings are in no fingerprint.",
    "questions": "They count through the questions that they give: the same questions make nothing stale.",
    "search": "Used by `raydistill tune` alone; the stages of a run do not depend on them.",
    "cascade": "Used by `raydistill cascade` alone; the stages of a run do not depend on them.",
    "ray": "How Ray is found or started; no result depends on them.",
}
"""About the sections whose values are not compared one by one."""

AFFECTS_TEXT = {
    Affects.RESULT: "the stage's result",
    Affects.PREDICTIONS: "the students' answers",
    Affects.GRID: "which students are trained",
}


def settings_page() -> str:
    """Return the page of all settings, a section of the tree after the other."""
    parts = [SETTINGS_INTRO]
    for name, section, description in sections(Settings, ""):
        parts.append(f"## {name or 'run'}\n")
        note = SECTION_NOTES.get(name.split(".")[0])
        for text in (description, note):
            if text:
                parts.append(f"{one_line(text)}\n")
        for field, info in section.model_fields.items():
            if section_of(info) is None:
                dotted = f"{name}.{field}" if name else field
                parts.append(setting(dotted, info, compared=note is None))
    return "\n".join(parts)


def sections(section: type[BaseModel], name: str, description: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield the dotted name, the model and the description of `section` and of the sections in it."""
    yield name, section, description or own_docstring(section)
    for field, info in section.model_fields.items():
        inner = section_of(info)
        if inner is not None:
            dotted = f"{name}.{field}" if name else field
            yield from sections(inner, dotted, info.description or "")


def setting(name: str, info: FieldInfo, *, compared: bool) -> str:
    """Return one setting as Markdown; `compared` if fingerprints may hold its value."""
    facts = [type_text(info), f"default: {default_text(info)}"]
    if compared:
        facts.append(f"changes {affects_text(affected_by(info))}")
    return f"### `{name}`\n\n*{' · '.join(facts)}*\n\n{one_line(info.description or '')}\n"


def affects_text(affects: Affects) -> str:
    """Return what a changed value makes stale, in words."""
    words = [text for flag, text in AFFECTS_TEXT.items() if flag in affects]
    return " and ".join(words) or "nothing"


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """Return the settings model of a field that is a section, else None."""
    for kind in (info.annotation, *typing.get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def own_docstring(section: type[BaseModel]) -> str:
    """Return the first paragraph of the class's own docstring; "" if it has none."""
    text = section.__dict__.get("__doc__") or ""
    return inspect.cleandoc(text).split("\n\n")[0]


def type_text(info: FieldInfo) -> str:
    """Return the type of a field in words, with its bounds."""
    return " ".join([annotation_text(info.annotation), *bounds(info)])


def annotation_text(annotation: object) -> str:
    """Return a type in words: "whole number or none", "list of text", "one of `a`, `b`"."""
    simple: dict[object, str] = {
        int: "whole number",
        float: "number",
        bool: "true or false",
        str: "text",
        type(None): "none",
    }
    if annotation in simple:
        return simple[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments)
    if origin is list:
        return f"list of {annotation_text(arguments[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(annotation_text, arguments))
    if origin is typing.Annotated:
        return annotation_text(arguments[0])
    return getattr(annotation, "__name__", str(annotation))


def bounds(info: FieldInfo) -> list[str]:
    """Return the limits of a number as "≥ 1"."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = []
    for constraint in info.metadata:
        for attribute, sign in signs.items():
            limit = getattr(constraint, attribute, None)
            if limit is not None:
                limits.append(f"{sign} {limit}")
    return [", ".join(limits)] if limits else []


def default_text(info: FieldInfo) -> str:
    """Return the default of a field as it is written in YAML."""
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return "`[" + ", ".join(map(str, default)) + "]`"
    return f"`{default}`"


def one_line(text: str) -> str:
    """Return `text` with single spaces; `<` stays text in Markdown."""
    return re.sub(r"\s+", " ", text).strip().replace("<", "&lt;")

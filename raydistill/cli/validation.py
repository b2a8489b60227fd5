"""Settings errors as sentences: which setting is wrong, what is wrong with it, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from raydistill.config import Settings
from raydistill.config.base import Section, section_of
from raydistill.runtime.errors import SettingsError

# Their values are never repeated: an address may hold a key, and a key is sometimes given where its variable's name
# belongs.
PRIVATE = ("run_dir", "teacher.base_url", "teacher.journal", "teacher.api_key_env")


def validate(tree: Mapping[str, Any], source: str) -> Settings:
    """Return the settings of a tree that was read from `source`.

    Raises:
        SettingsError: names each bad setting and what is allowed.
    """
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = [f"  {_problem(details)}" for details in error.errors()]
        raise SettingsError(
            f"The settings ({source}) are not valid:\n" + "\n".join(problems),
            "`--help` lists every setting with its meaning.",
        ) from None


def _problem(error: ErrorDetails) -> str:
    """Say one of pydantic's errors as a sentence: the setting, what is wrong, what is allowed."""
    path = [str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    if not path:
        return message
    name = ".".join(path)
    section, info = _look_up(path)
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting; {_suggestion(path[-1], section)}"
    sentence = f"{name}: {message}"
    if name not in PRIVATE:
        sentence += f"; got {error['input']!r}"
    if info and info.description:
        sentence += f" ({' '.join(info.description.split())})"
    return sentence


def _suggestion(name: str, section: type[Section]) -> str:
    """Name the setting of `section` that is spelled like `name`, else all of them."""
    allowed = list(section.model_fields)
    matches = difflib.get_close_matches(name, allowed, n=1)
    if matches:
        return f"did you mean {matches[0]}?"
    return "allowed here: " + ", ".join(allowed)


def _look_up(path: list[str]) -> tuple[type[Section], FieldInfo | None]:
    """Return the section that the last part of `path` belongs to, and its field if there is one."""
    section: type[Section] = Settings
    info: FieldInfo | None = None
    for i, part in enumerate(path):
        info = section.model_fields.get(part)
        inner = section_of(info) if info else None
        if inner is None or i == len(path) - 1:
            break
        section = inner
    return section, info

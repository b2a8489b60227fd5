"""What the sections of the settings have in common: names of choices, frozen models, no secrets."""

from __future__ import annotations

import re
from typing import Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, model_validator

TaskName = Literal[
    "single_eq",
    "addsub",
    "multiarith",
    "svamp",
    "date_understanding",
    "tracking_shuffled_objects",
    "last_letter_concatenation",
    "coin_flip",
]
AnswerType = Literal["number", "letter", "yes_no", "letters", "text"]
Method = Literal["vanilla", "fine_tune_cot", "clustered", "new_fine_tune_cot"]
UNTRAINED = ("untrained", "untrained_cot")  # what stands for a method where a student is judged as it comes

STORAGE_KEYS = "storage takes its keys from its own environment variables or files"


def without_secret(place: str, instead: str) -> str:
    """Refuse user names, passwords and keys in an address: settings are written down and shown."""
    parts = urlsplit(place)
    if parts.username or parts.password or re.search(r"(?i)secret|key|token|password", parts.query):
        raise ValueError(f"should hold no key or password: {instead}")
    return place


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        """A single value may stand for a list of one: `models: t5-small`."""
        if not isinstance(values, dict):
            return values
        lists = {name for name, info in cls.model_fields.items() if get_origin(info.annotation) is list}
        return {n: [v] if n in lists and isinstance(v, str | int | float) else v for n, v in values.items()}

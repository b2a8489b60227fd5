"""OpenAI's completions, /completions: the prompt is text that the model continues."""

from __future__ import annotations

from typing import Any

from raydistill.teacher.api import openai_api, openai_replies
from raydistill.teacher.api.dialect import JsonObject


def _prompt_value(prompt: str) -> str:
    return prompt


def _prompt_of(value: Any) -> str:
    return value


def _text_of(choice: JsonObject) -> str:
    return openai_replies.joined(choice["text"])


DIALECT = openai_api.dialect(
    "completions",
    "/completions",
    prompt_name="prompt",
    prompt_value=_prompt_value,
    prompt_of=_prompt_of,
    text_of=_text_of,
)

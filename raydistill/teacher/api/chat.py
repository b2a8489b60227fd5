"""OpenAI's chat completions, /chat/completions: the prompt is one message of a user."""

from __future__ import annotations

from typing import Any

from raydistill.teacher.api import openai_api, openai_replies
from raydistill.teacher.api.dialect import JsonObject


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _prompt_of(messages: Any) -> str:
    return messages[0]["content"]


def _text_of(choice: JsonObject) -> str:
    return openai_replies.joined(choice["message"].get("content"))


DIALECT = openai_api.dialect(
    "chat",
    "/chat/completions",
    prompt_name="messages",
    prompt_value=_messages,
    prompt_of=_prompt_of,
    text_of=_text_of,
)

"""The body of a completion request, checked as OpenAI checks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from raydistill.simulated.error_reply import ErrorReply
from raydistill.simulated.tokens import count_tokens

Default = TypeVar("Default", int, None)

MAX_CHOICES = 128
MAX_STOP_SEQUENCES = 4
DEFAULT_MAX_TOKENS, DEFAULT_MAX_TOKENS_OF_CHAT = 16, 1024


class CompletionRequest(NamedTuple):
    """What is asked for: `n` completions for each prompt. A conversation is one prompt."""

    is_chat: bool
    model: str
    prompts: list[str]
    n: int
    stop: list[str]
    max_tokens: int
    temperature: float
    seed: int | None


def parse_request(body: object, *, is_chat: bool, models: Sequence[str], context_tokens: int) -> CompletionRequest:
    """Check a request's body.

    Args:
        body: the parsed JSON, of any type.
        is_chat: whether it came to /v1/chat/completions.
        models: the names of models that are served.
        context_tokens: the longest prompt and completion together.

    Raises:
        ErrorReply: the body is malformed, or asks for what is not served.
    """
    if not isinstance(body, dict):
        raise ErrorReply(400, "We could not parse the JSON body of your request.")
    model = body.get("model")
    if not isinstance(model, str) or model not in models:
        raise ErrorReply(404, f"The model `{model}` does not exist.", "model_not_found")
    if body.get("stream"):
        raise ErrorReply(400, "The simulated teacher does not stream.", "unsupported_parameter")
    if is_chat:
        prompts = [_conversation(body.get("messages"))]
        default_max_tokens = DEFAULT_MAX_TOKENS_OF_CHAT
    else:
        prompts = _prompts(body.get("prompt"))
        default_max_tokens = DEFAULT_MAX_TOKENS
    stop = _stop_sequences(body.get("stop"))
    limit_name = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    limit = _integer(body, limit_name, 0, 0, 2**31)
    request = CompletionRequest(
        is_chat=is_chat,
        model=model,
        prompts=prompts,
        n=_integer(body, "n", 1, 1, MAX_CHOICES),
        stop=stop,
        max_tokens=limit or default_max_tokens,
        temperature=_temperature(body),
        seed=_integer(body, "seed", None, -(2**63), 2**63),
    )
    _check_length(prompts, limit, context_tokens)
    return request


def _prompts(prompt: object) -> list[str]:
    prompts = _list_of_texts(prompt)
    if not prompts:
        raise ErrorReply(400, "'prompt' must be a string or a list of strings.", "invalid_type")
    return prompts


def _stop_sequences(stop: object) -> list[str]:
    sequences = _list_of_texts(stop or [])
    if sequences is None or len(sequences) > MAX_STOP_SEQUENCES:
        message = f"'stop' must be a string or a list of at most {MAX_STOP_SEQUENCES} strings."
        raise ErrorReply(400, message, "invalid_type")
    return sequences


def _list_of_texts(value: object) -> list[str] | None:
    """Return a text or a list of texts as a list; None if it is anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return value
    return None


def _conversation(messages: object) -> str:
    """Join chat messages to one prompt: each on a line of its own, but the teacher's text behind what it answers."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ErrorReply(400, "'messages' must be a list of messages.", "invalid_type")
    prompt = ""
    for message in messages:
        content = _content(message)
        continues_line = message.get("role") == "assistant" or not prompt
        prompt += content if continues_line else f"\n{content}"
    return prompt


def _content(message: Mapping[str, object]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise ErrorReply(400, "'content' must be a string or a list of parts.", "invalid_type")
    return "".join(str(part.get("text", "")) for part in content)


def _integer(body: Mapping[str, object], name: str, default: Default, low: int, high: int) -> int | Default:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _out_of_range(name, low, high, value)
    return value


def _temperature(body: Mapping[str, object]) -> float:
    value = body.get("temperature")
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise _out_of_range("temperature", 0.0, 2.0, value)
    return value


def _out_of_range(name: str, low: float, high: float, value: object) -> ErrorReply:
    return ErrorReply(400, f"'{name}' must be between {low} and {high}, not {value!r}.", "invalid_value")


def _check_length(prompts: Sequence[str], max_tokens: int, context_tokens: int) -> None:
    longest = max(count_tokens(prompt) for prompt in prompts)
    total = longest + max_tokens
    if total > context_tokens:
        message = (
            f"This model's maximum context length is {context_tokens} tokens, however you requested "
            f"{total} tokens ({longest} in your prompt; {max_tokens} for the completion)."
        )
        raise ErrorReply(400, message, "context_length_exceeded")

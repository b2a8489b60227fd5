"""The body of a completion reply, and what it counts for."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from raydistill.simulated.completion_request import CompletionRequest
from raydistill.simulated.replies import GREEDY, reply
from raydistill.simulated.script import Rule
from raydistill.simulated.state import State
from raydistill.simulated.tokens import count_tokens, truncate

CHAT_NAMES = ("chatcmpl", "chat.completion")  # prefix of the id, and what the reply calls itself
TEXT_NAMES = ("cmpl", "text_completion")


class Usage(NamedTuple):
    """Choices and tokens of a reply."""

    choices: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        """Tokens that count against the rate limit."""
        return self.prompt_tokens + self.completion_tokens


class Completion(NamedTuple):
    """A reply's body, JSON-able, and its usage."""

    body: dict[str, Any]
    usage: Usage


def complete(state: State, request: CompletionRequest, rule: Rule) -> Completion:
    """Answer a request, as its rule says or as the teacher would."""
    choices: list[dict[str, Any]] = []
    prompt_tokens = cached_tokens = completion_tokens = 0
    for prompt in request.prompts:
        prompt_tokens += count_tokens(prompt)
        cached_tokens += state.prompt_cache.add(prompt)
        for text in _texts(state, request, rule, prompt):
            completion = truncate(text, request.stop, request.max_tokens)
            completion_tokens += count_tokens(completion.text)
            finish_reason = rule.finish_reason or completion.finish_reason
            choices.append(_choice(len(choices), completion.text, finish_reason, is_chat=request.is_chat))
    usage = Usage(len(choices), prompt_tokens, cached_tokens, completion_tokens)
    id_prefix, object_name = CHAT_NAMES if request.is_chat else TEXT_NAMES
    body: dict[str, Any] = {
        "id": f"{id_prefix}-simulated-{state.counts.requests}",
        "object": object_name,
        "created": int(time.time()),
        "model": rule.model or _model_name(request.model),
        "choices": choices,
        "system_fingerprint": "simulated",
    }
    if not rule.omit_usage:
        body["usage"] = _usage_field(usage) if rule.usage is None else rule.usage
    return Completion(body, usage)


def _texts(state: State, request: CompletionRequest, rule: Rule, prompt: str) -> list[str]:
    """Write the `n` completions of one prompt, before they are cut."""
    if rule.text is not None:
        scripted = [rule.text] if isinstance(rule.text, str) else rule.text
        return [scripted[index % len(scripted)] for index in range(request.n)]
    gold = rule.gold or state.script.gold_for(prompt) or None
    texts = []
    for sample in _sample_numbers(state, request, prompt):
        text = reply(prompt, sample, state.config.settings, gold)
        texts.append(text.lstrip() if request.is_chat else text)
    return texts


def _sample_numbers(state: State, request: CompletionRequest, prompt: str) -> list[int]:
    """Return the numbers of the samples to draw.

    Without a seed they go on from the samples given so far: a model would not repeat itself either.
    """
    if request.temperature == 0:
        return [GREEDY] * request.n
    first = state.prompt_counts(prompt).samples if request.seed is None else request.seed
    return list(range(first, first + request.n))


def _choice(index: int, text: str, finish_reason: str, *, is_chat: bool) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index}
    if is_chat:
        choice["message"] = {"role": "assistant", "content": text, "refusal": None}
    else:
        choice["text"] = text
    return {**choice, "logprobs": None, "finish_reason": finish_reason}


def _usage_field(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _model_name(model: str) -> str:
    """Return a name that says that the teacher is simulated, whatever it serves as."""
    return model if "simulated" in model else f"simulated:{model}"

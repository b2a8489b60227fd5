"""Completions in batches: sorted by length, finished rows leave the batch, nothing of a row leaks into another."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from raydistill.students.batching import encode_prompts
from raydistill.students.generation_state import open_state
from raydistill.students.models import Student

SHRINK = 0.8  # drop finished rows if at most this fraction of the batch is still writing: dropping copies the cache


class Completion(NamedTuple):
    """What a student wrote after one prompt."""

    text: str
    tokens: int
    """Tokens written, the end token included."""
    stopped_at_eos: bool
    """It ended by itself rather than by a limit."""
    confidence: float
    """Mean probability of the tokens written, 0 … 1."""


class _Sampling(NamedTuple):
    """How tokens are drawn."""

    temperature: float
    draws: torch.Tensor
    """Uniform numbers, prompts × steps."""


@dataclass
class _Output:
    """What is written after one prompt, up to `limit` tokens."""

    limit: int
    tokens: list[int] = field(default_factory=list)
    probability_sum: float = 0.0
    stopped_at_eos: bool = False

    def add(self, token: int, probability: float, is_end: bool) -> bool:
        """Append a token if there is room; returns True if more may follow."""
        if len(self.tokens) < self.limit:
            self.tokens.append(token)
            self.probability_sum += probability
            self.stopped_at_eos = is_end
        return not is_end and len(self.tokens) < self.limit


def generate(
    student: Student,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    max_input_tokens: int = 512,
    batch_size: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Completion]:
    """Return the completions of `prompts`, in their order.

    In float32 a prompt's completion does not depend on the rest of its batch: prompts are padded on the left, padding
    is masked, and positions count from each row's first token. In bfloat16 sums are rounded in another order in
    batches of another shape, so that a near-tie between two tokens may fall the other way.

    Args:
        student: writes.
        prompts: texts.
        max_new_tokens: limit of a completion.
        max_input_tokens: longer prompts are cut at the end.
        batch_size: prompts at once.
        temperature: of sampling; 0: greedy.
        seed: of sampling.
        progress: called with the number of prompts done.
    """
    ids = encode_prompts(prompts, student.tokenizer, seq2seq=student.seq2seq, limit=max_input_tokens)
    longest_first = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
    completions: dict[int, Completion] = {}
    student.model.eval()
    for begin in range(0, len(ids), batch_size):
        indices = longest_first[begin : begin + batch_size]
        sampling = None
        if temperature:
            draws = _uniform_draws([prompts[index] for index in indices], max_new_tokens, seed)
            sampling = _Sampling(temperature, draws)
        batch = _generate_batch(student, [ids[index] for index in indices], max_new_tokens, sampling)
        completions.update(zip(indices, batch, strict=True))
        if progress:
            progress(len(completions))
    return [completions[index] for index in range(len(ids))]


def _uniform_draws(prompts: Sequence[str], steps: int, seed: int) -> torch.Tensor:
    """Return uniform numbers, prompts × steps; a row's depend on its prompt and `seed` alone, not on its batch."""
    rows = []
    for prompt in prompts:
        digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        rows.append(torch.rand(steps, generator=generator))
    return torch.stack(rows)


@torch.inference_mode()
def _generate_batch(
    student: Student, prompts: list[list[int]], max_new_tokens: int, sampling: _Sampling | None
) -> list[Completion]:
    """Return the completions of one batch of token ids."""
    state = open_state(student, prompts)
    outputs = [_Output(limit=min(max_new_tokens, state.room(len(prompt)))) for prompt in prompts]
    device = student.model.device
    end_tokens = torch.tensor(_end_tokens(student), device=device)
    index = torch.arange(len(prompts), device=device)  # which of `outputs` each row of the batch writes
    writing = [True] * len(prompts)
    logits = state.first()
    for step in itertools.count():
        logits = logits.float()
        if sampling is None:
            token = logits.max(dim=-1).indices
        else:
            token = _draw(logits, sampling.temperature, sampling.draws[index.cpu(), step])
        probability = _probability(logits, token)
        is_end = torch.isin(token, end_tokens)
        rows = zip(index.tolist(), token.tolist(), probability.tolist(), is_end.tolist(), strict=True)
        for position, (output, row_token, row_probability, row_is_end) in enumerate(rows):
            if writing[position]:
                writing[position] = outputs[output].add(row_token, row_probability, row_is_end)
        if not any(writing):
            break
        if sum(writing) <= SHRINK * len(writing):
            keep = torch.tensor(writing, device=device).nonzero().squeeze(1)
            state.select(keep)
            index = index[keep]
            token = token[keep]
            writing = [True] * len(keep)
        logits = state.next(token)
    return [_completion(student, output) for output in outputs]


def _draw(logits: torch.Tensor, temperature: float, draws: torch.Tensor) -> torch.Tensor:
    """Return a token for each row: the one in whose part of the cumulated probabilities the row's number lies.

    Args:
        logits: rows × vocabulary, float32.
        temperature: of sampling.
        draws: a uniform number for each row.
    """
    cumulated = (logits / temperature).softmax(dim=-1).cumsum(dim=-1)
    reached = draws.to(logits.device)[:, None] * cumulated[:, -1:]
    return (cumulated < reached).sum(dim=-1)


def _probability(logits: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Return the probability (at temperature 1) of each row's token."""
    chosen = logits.gather(1, token[:, None]).squeeze(1)
    return (chosen - logits.logsumexp(dim=-1)).exp()


def _completion(student: Student, output: _Output) -> Completion:
    count = len(output.tokens)
    text = str(student.tokenizer.decode(output.tokens, skip_special_tokens=True))
    confidence = output.probability_sum / count if count else 0.0
    return Completion(text, count, output.stopped_at_eos, confidence)


def _end_tokens(student: Student) -> list[int]:
    """Return the tokens that end a text: the tokenizer's, and those of the model's generation configuration."""
    configured = getattr(student.model.generation_config, "eos_token_id", None)
    tokens = {student.tokenizer.eos_token_id}
    if isinstance(configured, list):
        tokens.update(configured)
    elif configured is not None:
        tokens.add(configured)
    return sorted(tokens)

"""Answers in batches: sorted by length, finished rows leave the batch, nothing of a row leaks into another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from raydistill.students.models import Student, accepts
from raydistill.students.text import encode_prompts

SHRINK = 0.8  # drop finished rows when at most this share of the batch is still writing: dropping copies the cache


class Completion(NamedTuple):
    text: str
    tokens: int
    """Tokens written, the end token included."""
    complete: bool
    """Ended by itself rather than by a limit."""
    confidence: float
    """Mean probability of the tokens written, 0 … 1."""


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
    """Completions of `prompts`, in their order: greedy or at a `temperature`; `progress` hears how many are done.

    In float32 a prompt's completion does not depend on the rest of its batch: prompts are padded on the left, padding
    is masked, and positions count from each row's first token. In bfloat16 sums are rounded in another order in
    batches of another shape, so that a near-tie between two tokens may fall the other way.
    """
    ids = encode_prompts(prompts, student.tokenizer, seq2seq=student.seq2seq, limit=max_input_tokens)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    done: dict[int, Completion] = {}
    student.model.eval()
    for at in range(0, len(order), batch_size):
        rows = order[at : at + batch_size]
        sample = (temperature, _draws([prompts[i] for i in rows], max_new_tokens, seed)) if temperature else None
        done.update(zip(rows, _batch(student, [ids[i] for i in rows], max_new_tokens, sample), strict=True))
        if progress:
            progress(len(done))
    return [done[i] for i in range(len(ids))]


def _draws(prompts: Sequence[str], steps: int, seed: int) -> torch.Tensor:
    """Uniform numbers, prompts × steps; a row's depend on its prompt and `seed` alone, not on what it is asked with."""
    digests = [hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()[:7] for prompt in prompts]
    own = [torch.Generator().manual_seed(int.from_bytes(digest, "big")) for digest in digests]
    return torch.stack([torch.rand(steps, generator=generator) for generator in own])


@torch.inference_mode()
def _batch(
    student: Student, prompts: list[list[int]], max_new_tokens: int, sample: tuple[float, torch.Tensor] | None
) -> list[Completion]:
    state = (_EncoderDecoder if student.seq2seq else _Decoder)(student, prompts)
    end = torch.tensor(_end_tokens(student), device=student.model.device)
    alive = torch.arange(len(prompts), device=end.device)  # row of `prompts` that each row of the batch answers
    writing = torch.ones(len(prompts), dtype=torch.bool, device=end.device)
    written: list[list[int]] = [[] for _ in prompts]
    total = [0.0] * len(prompts)
    complete = [False] * len(prompts)
    room = [min(max_new_tokens, state.room(len(p))) for p in prompts]
    logits = state.first()
    step = 0
    while True:
        logits = logits.float()
        chosen, token = logits.max(dim=-1)
        if sample:
            temperature, draws = sample
            reached = (logits / temperature).softmax(dim=-1).cumsum(dim=-1)
            draw = draws[alive.cpu(), step].to(logits.device)[:, None]
            token = (reached < draw * reached[:, -1:]).sum(dim=-1)
            chosen = logits.gather(1, token[:, None]).squeeze(1)
        step += 1
        sure = (chosen - logits.logsumexp(dim=-1)).exp()
        ended = torch.isin(token, end)
        for at, (row, t, p, e) in enumerate(
            zip(alive.tolist(), token.tolist(), sure.tolist(), ended.tolist(), strict=True)
        ):
            if not writing[at]:
                continue
            if len(written[row]) < room[row]:
                written[row].append(t)
                total[row] += p
                complete[row] = e
            writing[at] = not e and len(written[row]) < room[row]
        left = int(writing.sum())
        if not left:
            break
        if left <= SHRINK * len(writing):
            keep = writing.nonzero().squeeze(1)
            state.select(keep)
            alive, token, writing = alive[keep], token[keep], writing[keep]
        logits = state.next(token)
    return [
        Completion(
            student.tokenizer.decode(ids, skip_special_tokens=True), len(ids), whole, sum_p / len(ids) if ids else 0.0
        )
        for ids, whole, sum_p in zip(written, complete, total, strict=True)
    ]


def _end_tokens(student: Student) -> list[int]:
    configured = getattr(student.model.generation_config, "eos_token_id", None)
    configured = configured if isinstance(configured, list) else [configured]
    return sorted({student.tokenizer.eos_token_id, *(t for t in configured if t is not None)})


class _Decoder:
    """Key-value cache, mask and positions of a batch of a decoder-only model."""

    def __init__(self, student: Student, prompts: list[list[int]]) -> None:
        from transformers import DynamicCache

        self.student, model = student, student.model
        longest, pad = max(map(len, prompts)), student.tokenizer.pad_token_id
        self.ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
        self.mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        self.cache = DynamicCache(config=model.config)
        self.options: dict[str, Any] = {"logits_to_keep": 1} if accepts(model, "logits_to_keep") else {}
        self.positions = accepts(model, "position_ids")

    def room(self, prompt_tokens: int) -> int:
        """Tokens that fit behind a prompt."""
        return max(0, (self.student.context or 2**31) - prompt_tokens)

    def first(self) -> torch.Tensor:
        return self._forward(self.ids, (self.mask.cumsum(1) - 1).clamp(min=0))

    def next(self, token: torch.Tensor) -> torch.Tensor:
        self.mask = torch.cat([self.mask, torch.ones_like(token)[:, None]], dim=1)
        return self._forward(token[:, None], self.mask.sum(1, keepdim=True) - 1)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        model = self.student.model
        if self.positions:
            self.options["position_ids"] = positions.clamp(max=(self.student.context or 2**31) - 1)
        out = model(input_ids=ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **self.options)
        return out.logits[:, -1]

    def select(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]


class _EncoderDecoder:
    """The same for an encoder-decoder: the prompt is read once, the decoder writes from its start token."""

    def __init__(self, student: Student, prompts: list[list[int]]) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self.student, model = student, student.model
        longest, pad = max(map(len, prompts)), student.tokenizer.pad_token_id
        ids = torch.tensor([p + [pad] * (longest - len(p)) for p in prompts], device=model.device)
        self.mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in prompts], device=model.device)
        read = model.get_encoder()(input_ids=ids, attention_mask=self.mask).last_hidden_state
        self.read = read
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def room(self, prompt_tokens: int) -> int:
        return self.student.context or 2**31

    def first(self) -> torch.Tensor:
        return self.next(torch.full((len(self.mask),), self.student.start, device=self.mask.device))

    def next(self, token: torch.Tensor) -> torch.Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        out = self.student.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.read),
            attention_mask=self.mask,
            decoder_input_ids=token[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.logits[:, -1]

    def select(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]
        self.read = self.read[rows]

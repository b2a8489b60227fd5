"""Key-value cache, mask and positions of a batch that is being written."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from raydistill.students.models import Student, accepts

UNLIMITED = 2**31


class GenerationState(Protocol):
    """A batch whose prompts are read and whose next tokens are computed from what was written so far."""

    def room(self, prompt_tokens: int) -> int:
        """Return how many tokens fit behind a prompt."""

    def first(self) -> torch.Tensor:
        """Return the logits of the first token, rows × vocabulary."""

    def next(self, token: torch.Tensor) -> torch.Tensor:
        """Append a token to each row and return the logits of the one after."""

    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows only."""


def open_state(student: Student, prompts: list[list[int]]) -> GenerationState:
    """Return the state of a batch of token ids for the student's kind of model."""
    return _EncoderDecoder(student, prompts) if student.seq2seq else _Decoder(student, prompts)


class _Decoder:
    """A batch of a decoder-only model; prompts are padded on the left."""

    def __init__(self, student: Student, prompts: list[list[int]]) -> None:
        from transformers import DynamicCache

        self.student = student
        model = student.model
        longest = max(map(len, prompts))
        ids = []
        mask = []
        for prompt in prompts:
            padding = longest - len(prompt)
            ids.append([student.tokenizer.pad_token_id] * padding + prompt)
            mask.append([0] * padding + [1] * len(prompt))
        self.ids = torch.tensor(ids, device=model.device)
        self.mask = torch.tensor(mask, device=model.device)
        self.cache = DynamicCache(config=model.config)
        self.takes_positions = accepts(model, "position_ids")
        self.options: dict[str, Any] = {}
        if accepts(model, "logits_to_keep"):
            self.options["logits_to_keep"] = 1

    def room(self, prompt_tokens: int) -> int:
        context = self.student.context or UNLIMITED
        return max(0, context - prompt_tokens)

    def first(self) -> torch.Tensor:
        positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        return self._forward(self.ids, positions)

    def next(self, token: torch.Tensor) -> torch.Tensor:
        self.mask = torch.cat([self.mask, torch.ones_like(token)[:, None]], dim=1)
        return self._forward(token[:, None], self.mask.sum(1, keepdim=True) - 1)

    def select(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        if self.takes_positions:
            last_position = (self.student.context or UNLIMITED) - 1
            self.options["position_ids"] = positions.clamp(max=last_position)
        outputs = self.student.model(
            input_ids=ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **self.options
        )
        return outputs.logits[:, -1]


class _EncoderDecoder:
    """A batch of an encoder-decoder: prompts are read once, the decoder writes from its start token."""

    def __init__(self, student: Student, prompts: list[list[int]]) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self.student = student
        model = student.model
        longest = max(map(len, prompts))
        ids = []
        mask = []
        for prompt in prompts:
            padding = longest - len(prompt)
            ids.append(prompt + [student.tokenizer.pad_token_id] * padding)
            mask.append([1] * len(prompt) + [0] * padding)
        self.mask = torch.tensor(mask, device=model.device)
        encoder = model.get_encoder()
        input_ids = torch.tensor(ids, device=model.device)
        self.encoded = encoder(input_ids=input_ids, attention_mask=self.mask).last_hidden_state
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def room(self, prompt_tokens: int) -> int:
        return self.student.context or UNLIMITED

    def first(self) -> torch.Tensor:
        start = torch.full((len(self.mask),), self.student.start, device=self.mask.device)
        return self.next(start)

    def next(self, token: torch.Tensor) -> torch.Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        outputs = self.student.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
            attention_mask=self.mask,
            decoder_input_ids=token[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        return outputs.logits[:, -1]

    def select(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]
        self.encoded = self.encoded[rows]

"""What a student reads and writes: templates, tokens, and batches padded without waste.

Templates of Ho et al. 2023 (Fine-tune-CoT): a decoder continues "{question} ###" with " {rationale} --> {answer}"; an
encoder-decoder maps "{question}" to "{rationale} --> {answer}". Students trained on answers alone leave the rationale
and the mark out; untrained ones get the plain zero-shot prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import torch

from raydistill.method.methods import UNTRAINED

MARK = "-->"
IGNORED = -100  # label of positions without loss


class Sample(NamedTuple):
    """Token ids of one training row; `target` ends in the end-of-sequence token unless it was cut."""

    prompt: list[int]
    target: list[int]
    cut: bool
    """A limit of the settings cut the prompt or the target."""


def prompt(question: str, *, seq2seq: bool, trained: bool = True) -> str:
    """The text that a student is given; `trained` False: the zero-shot baseline of a student as it comes."""
    question = question.strip()
    if not trained:
        return f"question: {question}" if seq2seq else f"Q: {question}\n\nA:"
    return question if seq2seq else f"{question} ###"


def target(rationale: str, answer: str, *, seq2seq: bool, vanilla: bool) -> str:
    """The text that a student is taught to write; `vanilla`: the answer alone."""
    text = answer.strip() if vanilla else f"{rationale.strip()} {MARK} {answer.strip()}"
    return text if seq2seq else f" {text}"


def mark_of(method: str) -> str:
    """The mark before the answer in a student's text; "" for students whose whole text is the answer."""
    return "" if method in ("vanilla", *UNTRAINED) else MARK


def encode_prompts(texts: Sequence[str], tokenizer: Any, *, seq2seq: bool, limit: int) -> list[list[int]]:
    """Token ids with the model's own leading tokens; longer prompts are cut at the end to `limit`."""
    rows = tokenizer(list(texts))["input_ids"] if texts else []
    if not seq2seq:  # some tokenizers close every text: a decoder must not read an end before its answer
        rows = [row[:-1] if len(row) > 1 and row[-1] == tokenizer.eos_token_id else row for row in rows]
        return [row[:limit] for row in rows]
    return [row if len(row) <= limit else [*row[: limit - 1], tokenizer.eos_token_id] for row in rows]


def encode(
    prompts: Sequence[str], targets: Sequence[str], tokenizer: Any, *, seq2seq: bool, max_input: int, max_output: int
) -> list[Sample]:
    """Token ids of training rows. Prompt and target are tokenised apart, so that generation sees the same prompt."""
    eos = tokenizer.eos_token_id
    read = encode_prompts(prompts, tokenizer, seq2seq=seq2seq, limit=max_input)
    full = encode_prompts(prompts, tokenizer, seq2seq=seq2seq, limit=2**31)
    write = tokenizer(list(targets), add_special_tokens=False)["input_ids"] if targets else []
    return [
        Sample(p, [*t, eos][:max_output], len(p) < len(f) or len(t) + 1 > max_output)
        for p, f, t in zip(read, full, write, strict=True)
    ]


def collate(samples: Sequence[Sample], *, pad: int, seq2seq: bool, start: int = 0) -> dict[str, torch.Tensor]:
    """One batch for a model, padded on the right to its own longest row.

    A decoder needs no mask then: causal attention never looks at what follows, and positions count from 0 in every row.
    Its logits are asked for (`logits_to_keep`) from the shortest prompt's last token on, where the first label is
    predicted. Encoder-decoders get `decoder_input_ids` that begin with `start`.
    """
    if seq2seq:
        return {
            "input_ids": _pad([s.prompt for s in samples], pad),
            "attention_mask": _pad([[1] * len(s.prompt) for s in samples], 0),
            "decoder_input_ids": _pad([[start, *s.target[:-1]] for s in samples], pad),
            "labels": _pad([s.target for s in samples], IGNORED),
        }
    labels = _pad([[IGNORED] * len(s.prompt) + s.target for s in samples], IGNORED)
    return {
        "input_ids": _pad([s.prompt + s.target for s in samples], pad),
        "labels": labels,
        "logits_to_keep": torch.arange(min(len(s.prompt) for s in samples) - 1, labels.shape[1] - 1),
    }


def _pad(rows: list[list[int]], value: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


class LengthBuckets(torch.utils.data.Sampler[int]):
    """Random order in which rows of about the same length share a batch.

    Rows are shuffled, cut into runs of `RUN` batches, sorted by length in each run; the batches are then shuffled.
    Deterministic in (seed, epoch), so that every worker draws the same order and a resumed epoch its own.
    """

    RUN = 16

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed, self.epoch = list(lengths), batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.lengths)))
        random.shuffle(order)
        run = self.RUN * self.batch
        order = [
            i for at in range(0, len(order), run) for i in sorted(order[at : at + run], key=self.lengths.__getitem__)
        ]
        batches = [order[at : at + self.batch] for at in range(0, len(order), self.batch)]
        short = (
            [batches.pop()] if batches and len(batches[-1]) < self.batch else []
        )  # stays last: batches are cut by count
        random.shuffle(batches)
        return iter([i for batch in batches + short for i in batch])

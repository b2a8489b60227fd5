"""From texts to batches: token ids, padding, and an order in which little is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # label of positions without loss, as in transformers
NO_LIMIT = 2**31


class Sample(NamedTuple):
    """Token ids of one training row; `target` ends in the end-of-sequence token unless it was truncated."""

    prompt: list[int]
    target: list[int]
    truncated: bool
    """A limit of the settings cut the prompt or the target."""

    @property
    def length(self) -> int:
        """Tokens of prompt and target."""
        return len(self.prompt) + len(self.target)


def encode_prompts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, seq2seq: bool, limit: int
) -> list[list[int]]:
    """Return token ids with the model's own leading tokens; prompts longer than `limit` are cut at the end.

    Args:
        texts: prompts.
        tokenizer: the student's.
        seq2seq: the student is an encoder-decoder: its prompts end in the end token. A decoder's never do, though some
            tokenizers close every text: it must not read an end before its answer.
        limit: tokens, the end token included.
    """
    if not texts:
        return []
    end = tokenizer.eos_token_id
    prompts = []
    for ids in tokenizer(list(texts))["input_ids"]:
        if seq2seq and len(ids) > limit:
            ids = [*ids[: limit - 1], end]
        elif not seq2seq:
            is_closed = len(ids) > 1 and ids[-1] == end
            ids = ids[:-1] if is_closed else ids
            ids = ids[:limit]
        prompts.append(ids)
    return prompts


def encode(
    prompts: Sequence[str],
    targets: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    seq2seq: bool,
    max_input: int,
    max_output: int,
) -> list[Sample]:
    """Return the token ids of training rows; prompt and target are tokenised apart, as in generation.

    Args:
        prompts: one for each row.
        targets: the text to learn, one for each row.
        tokenizer: the student's.
        seq2seq: the student is an encoder-decoder.
        max_input: tokens of a prompt; longer ones are cut at the end.
        max_output: tokens of a target with its end token; longer ones are cut at the end.
    """
    if not prompts:
        return []
    cut_prompts = encode_prompts(prompts, tokenizer, seq2seq=seq2seq, limit=max_input)
    full_prompts = encode_prompts(prompts, tokenizer, seq2seq=seq2seq, limit=NO_LIMIT)
    target_ids = tokenizer(list(targets), add_special_tokens=False)["input_ids"]
    samples = []
    for cut_prompt, full_prompt, ids in zip(cut_prompts, full_prompts, target_ids, strict=True):
        target = [*ids, tokenizer.eos_token_id]
        truncated = len(cut_prompt) < len(full_prompt) or len(target) > max_output
        samples.append(Sample(cut_prompt, target[:max_output], truncated))
    return samples


def collate(samples: Sequence[Sample], *, pad: int, seq2seq: bool, start: int = 0) -> dict[str, torch.Tensor]:
    """Return one batch for a model, padded on the right to its own longest row.

    A decoder needs no mask then: causal attention never looks at what follows, and positions count from 0 in every row.
    Its logits are asked for (`logits_to_keep`) from the shortest prompt's last token on, where the first label is
    predicted. Encoder-decoders get `decoder_input_ids` that begin with `start`.

    Args:
        samples: rows of the batch.
        pad: token id of the padding.
        seq2seq: the student is an encoder-decoder.
        start: first token of an encoder-decoder's output.

    Returns:
        Arguments of the model's `forward`, rows × tokens; `logits_to_keep` is a list of positions.
    """
    if seq2seq:
        return {
            "input_ids": _pad([sample.prompt for sample in samples], pad),
            "attention_mask": _pad([[1] * len(sample.prompt) for sample in samples], 0),
            "decoder_input_ids": _pad([[start, *sample.target[:-1]] for sample in samples], pad),
            "labels": _pad([sample.target for sample in samples], IGNORED),
        }
    labels = _pad([[IGNORED] * len(sample.prompt) + sample.target for sample in samples], IGNORED)
    shortest_prompt = min(len(sample.prompt) for sample in samples)
    return {
        "input_ids": _pad([sample.prompt + sample.target for sample in samples], pad),
        "labels": labels,
        "logits_to_keep": torch.arange(shortest_prompt - 1, labels.shape[1] - 1),
    }


def _pad(rows: list[list[int]], value: int) -> torch.Tensor:
    """Return rows as one matrix, filled with `value` on the right."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


class LengthBuckets(torch.utils.data.Sampler[int]):
    """Random order in which rows of about the same length share a batch.

    Rows are shuffled, cut into runs of `RUN` batches, and sorted by length in each run; the batches are then shuffled.
    Deterministic in (seed, epoch), so that every worker draws the same order and a resumed epoch its own.

    Args:
        lengths: tokens of each row.
        batch: rows of a batch: of an optimiser step of all workers, so that their batches are of like length too.
        seed: of the order.
    """

    RUN = 16

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.batch = batch
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch; the Trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.lengths)))
        random.shuffle(order)
        sorted_runs: list[int] = []
        for run in _slices(order, self.RUN * self.batch):
            sorted_runs += sorted(run, key=self.lengths.__getitem__)
        batches = list(_slices(sorted_runs, self.batch))
        short_batch: list[int] = []
        if batches and len(batches[-1]) < self.batch:
            short_batch = batches.pop()  # stays last: the Trainer cuts batches by count
        random.shuffle(batches)
        for batch in batches:
            yield from batch
        yield from short_batch


def _slices(values: list[int], size: int) -> Iterator[list[int]]:
    """Yield `values` cut into pieces of `size`; the last may be shorter."""
    for begin in range(0, len(values), size):
        yield values[begin : begin + size]

"""Tiny students made here: real T5 and GPT-2 architectures and real tokenizers, small enough to train in seconds."""

from __future__ import annotations

from pathlib import Path

TEXT = [
    "A coin is heads up. Anna flips the coin. Ben does not flip the coin. Is the coin still heads up?",
    'Note that "flip" here means "reverse". Take the last letters of each words in "Anna Ben" and concatenate them.',
    "The coin starts heads up. After Anna flips it, it is tails up. So the answer is --> no. ### yes",
    "There are 12 apples and 34 pears; 12 + 34 = 46. How many are left? 0123456789 abcdefghijklmnopqrstuvwxyz",
]


def _tokenizer(folder: Path, end: str, pad: str) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[pad, end], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator(TEXT, trainer)
    if pad != end:  # an encoder-decoder's tokenizer ends each text itself
        inner.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, inner.token_to_id(end))]
        )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=end, pad_token=None if pad == end else pad
    ).save_pretrained(folder)
    return inner.get_vocab_size()


def gpt2(folder: Path) -> Path:
    """A GPT-2 of about 40,000 parameters, whose tokenizer lacks a pad token as the published one does."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    size = _tokenizer(folder, "<|endoftext|>", "<|endoftext|>")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=size, n_positions=512, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    """A T5 of about 50,000 parameters."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    size = _tokenizer(folder, "</s>", "<pad>")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=size, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder

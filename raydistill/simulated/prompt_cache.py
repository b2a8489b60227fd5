"""The prompt cache: how much of a prompt's beginning was seen before, by OpenAI's rule."""

from __future__ import annotations

from raydistill.simulated.tokens import TOKEN_CHARS

BLOCK_TOKENS = 128  # cached tokens are counted in blocks
MIN_TOKENS = 1024  # shorter prefixes are not cached

BLOCK_CHARS = BLOCK_TOKENS * TOKEN_CHARS


class PromptCache:
    """The prefixes of earlier prompts, block by block."""

    def __init__(self) -> None:
        self._prefixes: set[int] = set()

    def add(self, prompt: str) -> int:
        """Remember a prompt's prefixes; returns the tokens of the longest one that was known before."""
        if len(prompt) < MIN_TOKENS * TOKEN_CHARS:
            return 0
        digest = 0
        known_tokens = 0
        all_known = True
        for end in range(BLOCK_CHARS, len(prompt) + 1, BLOCK_CHARS):
            digest = hash((digest, prompt[end - BLOCK_CHARS : end]))
            all_known = all_known and digest in self._prefixes
            if all_known:
                known_tokens = end // TOKEN_CHARS
            self._prefixes.add(digest)
        return known_tokens if known_tokens >= MIN_TOKENS else 0

"""Mask the API key, whole or in part, in what servers send back."""

from __future__ import annotations

import json
import urllib.parse

MASK = b"***"
LONGEST_PART = 11
"""Characters of the key that may stand next to each other: any longer run is masked."""
SHORTEST_KEY = 4
"""A shorter key is a placeholder and would be struck out of innocent words."""
_PIECE = (LONGEST_PART + 2) // 2  # any run that is to be masked holds one of the key's pieces of this length


class Redactor:
    """Masks one key: the whole of it, and any run of more than `LONGEST_PART` of its characters.

    A key that is no longer than `LONGEST_PART` is masked whole only, one shorter than `SHORTEST_KEY` not at all.
    """

    def __init__(self, key: str) -> None:
        has_digit = any(character.isdigit() for character in key)
        has_letter = any(character.isalpha() for character in key)
        self._is_word = len(key) <= LONGEST_PART and not (has_digit and has_letter)
        forms = [key, json.dumps(key)[1:-1], key.replace("/", "\\/"), urllib.parse.quote(key, safe="")]
        self._forms = [form.encode() for form in dict.fromkeys(forms)] if len(key) >= SHORTEST_KEY else []
        self._pieces = [_pieces(form) for form in self._forms]

    def mask(self, content: bytes) -> bytes:
        """Return `content` without the key; call it before anything is cut to length."""
        for form, pieces in zip(self._forms, self._pieces, strict=True):
            if form in content:
                content = content.replace(form, MASK)
            if any(piece in content for _, piece in pieces):
                content = _without(content, _runs(content, form, pieces))
        return content

    def mask_answer(self, content: bytes) -> bytes:
        """Return an answer without the key.

        Keys such as "none" or "1234", which servers on one's own machine are given, stay: they are words of answers.
        """
        return content if self._is_word else self.mask(content)

    def mask_text(self, text: str) -> str:
        """Return `text` without the key."""
        content = text.encode("utf-8", "surrogatepass")
        masked = self.mask(content)
        return text if masked == content else masked.decode("utf-8", "replace")


def _pieces(form: bytes) -> list[tuple[int, bytes]]:
    """Return (offset, piece) of the pieces that a run of the key can be recognised by."""
    if len(form) <= LONGEST_PART:
        return []
    return [(i, form[i : i + _PIECE]) for i in range(0, len(form) - _PIECE + 1, _PIECE)]


def _runs(content: bytes, form: bytes, pieces: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """Return (start, end) of the runs of the key in `content` that are to be masked, by their start."""
    runs: list[tuple[int, int]] = []
    for offset, piece in pieces:
        position = content.find(piece)
        while position >= 0:
            before = _alike(content[max(0, position - offset) : position][::-1], form[:offset][::-1])
            after = _alike(content[position : position + len(form) - offset], form[offset:])
            if before + after > LONGEST_PART:
                runs.append((position - before, position + after))
            position = content.find(piece, position + 1)
    return sorted(runs)


def _alike(content: bytes, form: bytes) -> int:
    """Return how many first bytes the two have alike."""
    length = 0
    for one, other in zip(content, form, strict=False):
        if one != other:
            break
        length += 1
    return length


def _without(content: bytes, runs: list[tuple[int, int]]) -> bytes:
    """Return `content` with a mask in place of each run; runs that overlap are one."""
    parts: list[bytes] = []
    kept_from = 0
    last_end = -1
    for start, end in runs:
        if start > last_end:
            parts += [content[kept_from:start], MASK]
        last_end = max(last_end, end)
        kept_from = last_end
    return b"".join([*parts, content[kept_from:]])

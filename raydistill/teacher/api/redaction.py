"""Mask the API key, whole or in part, in what servers send back."""

from __future__ import annotations

import json
import re
import urllib.parse

MASK = b"***"
LONGEST_PART = 11
"""Characters of the key that may stand next to each other: any longer run is masked."""
SHORTEST_KEY = 4
"""A shorter key is a placeholder and would be struck out of innocent words."""
_PIECE = 4  # length of the pieces by which a run of the key is recognised
_SPACING = LONGEST_PART + 2 - _PIECE  # farthest that two pieces may be apart: any run that is too long holds one


class Redactor:
    """Masks one key: the whole of it, and any run of more than `LONGEST_PART` of its characters.

    A key that is no longer than `LONGEST_PART` is masked whole only, one shorter than `SHORTEST_KEY` not at all.
    """

    def __init__(self, key: str) -> None:
        has_digit = any(character.isdigit() for character in key)
        has_letter = any(character.isalpha() for character in key)
        self._is_word = len(key) <= LONGEST_PART and not (has_digit and has_letter)
        self._forms = _forms(key) if len(key) >= SHORTEST_KEY else []
        hints: list[bytes] = []
        for form in self._forms:
            pieces = [form[i : i + _PIECE] for i in _piece_starts(form)]
            hints += pieces or [form]
        # One pass over the body: it costs a third of a search for each piece.
        self._hint = re.compile(b"|".join(map(re.escape, hints))) if hints else None

    def mask(self, content: bytes) -> bytes:
        """Return `content` without the key; call it before anything is cut to length."""
        if self._hint is None or self._hint.search(content) is None:
            return content
        for form in self._forms:
            content = _without_runs(content.replace(form, MASK), form)
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


def _forms(key: str) -> list[bytes]:
    """Return the key as it is, and as it stands in JSON, in JSON with escaped slashes and in an address."""
    forms = [key, json.dumps(key)[1:-1], key.replace("/", "\\/"), urllib.parse.quote(key, safe="")]
    return [form.encode() for form in dict.fromkeys(forms)]


def _piece_starts(form: bytes) -> list[int]:
    """Return where the pieces of a key start: where possible at no small letter, which answers are full of."""
    starts: list[int] = []
    after = 0
    while len(form) - after > LONGEST_PART:
        start = max(range(after, after + _SPACING), key=lambda i: (not form[i : i + 1].islower(), i))
        starts.append(start)
        after = start + 1
    return starts


def _without_runs(content: bytes, form: bytes) -> bytes:
    """Return `content` with a mask in place of each run of the key that is too long; runs that overlap are one."""
    parts: list[bytes] = []
    kept_from = 0
    last_end = -1
    for start, end in _runs(content, form):
        if start > last_end:
            parts += [content[kept_from:start], MASK]
        last_end = max(last_end, end)
        kept_from = last_end
    return b"".join([*parts, content[kept_from:]])


def _runs(content: bytes, form: bytes) -> list[tuple[int, int]]:
    """Return (start, end) of the runs of the key that are too long, by their start."""
    runs: list[tuple[int, int]] = []
    for offset in _piece_starts(form):
        piece = form[offset : offset + _PIECE]
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

"""A stage's prompts cut into blocks, which are how rows travel to actors."""

from __future__ import annotations

import math
import zlib

import pyarrow as pa

MAX_ROWS = 512  # of a block, unless one question has more
BLOCKS_PER_ACTOR = 4  # that an actor works on at once


def cut(prompts: pa.Table, actors: int) -> list[pa.Table]:
    """Cut PROMPTS into blocks, at least one, each with its number in a further column `block`.

    All rows of one question text come into the same block, so that two actors never ask the same thing at once.

    Args:
        prompts: PROMPTS; its order is kept but for rows of one question, which come together.
        actors: how many actors there are to share the blocks.
    """
    even_size = math.ceil(prompts.num_rows / (actors * BLOCKS_PER_ACTOR))
    size = max(1, min(MAX_ROWS, even_size))
    rows_of: dict[str, list[int]] = {}
    for row, question in enumerate(prompts["question"].to_pylist()):
        rows_of.setdefault(question, []).append(row)
    blocks: list[pa.Table] = []
    gathered: list[int] = []
    for rows in rows_of.values():
        gathered += rows
        if len(gathered) >= size:
            blocks.append(_block(prompts, gathered, len(blocks)))
            gathered = []
    if gathered or not blocks:
        blocks.append(_block(prompts, gathered, len(blocks)))
    return blocks


def in_own_order(parts: list[pa.Table], run: str) -> list[pa.Table]:
    """Return blocks in an order of the run's own: runs that share a journal should not wait for each other."""
    start = zlib.crc32(run.encode()) % len(parts)
    return parts[start:] + parts[:start]


def _block(prompts: pa.Table, rows: list[int], number: int) -> pa.Table:
    taken = prompts.take(pa.array(rows, pa.int64()))
    return taken.append_column("block", pa.array([number] * len(rows), pa.int64()))

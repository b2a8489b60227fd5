"""Sentence-BERT embeddings of the questions, each question once per encoder (Algorithm 1, line 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from raydistill.config import ExemplarSettings
from raydistill.exemplars.embedding_cache import EmbeddingCache, cache_key
from raydistill.exemplars.encoder import encode
from raydistill.exemplars.vectors import Matrix, vector_array
from raydistill.runtime.store import Store
from raydistill.tables import EMBEDDINGS

ROWS_PER_CACHE_PART = 16_384
"""Embeddings per part of the cache; a killed run loses at most these."""

ROWS_PER_CHUNK = 1_000_000
"""Rows per chunk of the result: an Arrow list array ends at 2^31 numbers."""


def encoding_text(question: str) -> str:
    """Return what is embedded: the question as the prompt shows it (Auto-CoT, Zhang et al. 2022)."""
    return f"Q: {question}\nA:"


def _no_report(done: int) -> None:
    pass


def embed(
    questions: pa.Table,
    settings: ExemplarSettings,
    cache: Store | None,
    report: Callable[[int], None] = _no_report,
) -> pa.Table:
    """Embed each question with a Sentence-BERT in Ray Data actors; needs a connected Ray unless all are in `cache`.

    Batches are cut from the questions sorted by length, before they are dealt out: which batch a question is in, and so
    every bit of its embedding, is independent of the number of actors, of blocks and of the table's row order.
    A question that `cache` holds for this encoder (also from another run or task) is not embedded again; embeddings
    made beside other neighbours agree to float32 rounding (about 1e-7), which the choice of exemplars is safe from.

    Args:
        questions: QUESTIONS, n rows.
        settings: the encoder and its actors.
        cache: where embeddings are kept, in `embeddings/<encoder>/*.parquet`; None keeps none.
        report: called now and then with the number of questions that are done.

    Returns:
        EMBEDDINGS, n rows in the order of `questions`, one vector of the encoder's width (384 for minilm) each.

    Raises:
        UserError: the encoder cannot be found or loaded.
    """
    texts = [encoding_text(question) for question in questions["question"].to_pylist()]
    if not texts:
        return EMBEDDINGS.empty_table()
    distinct = sorted(set(texts), key=lambda text: (-len(text), text))

    def report_distinct(done: int) -> None:
        report(round(done / len(distinct) * len(texts)))

    embedding_cache = EmbeddingCache(cache, settings.encoder) if cache else None
    vectors = _vectors(distinct, settings, embedding_cache, report_distinct)
    row_of = {text: row for row, text in enumerate(distinct)}
    order = np.fromiter((row_of[text] for text in texts), np.int64, len(texts))
    chunks = []
    for start in range(0, len(texts), ROWS_PER_CHUNK):
        part = questions.slice(start, ROWS_PER_CHUNK)
        embeddings = vector_array(vectors[order[start : start + ROWS_PER_CHUNK]])
        chunks.append(pa.table([part["question_id"], part["task"], embeddings], EMBEDDINGS))
    return pa.concat_tables(chunks)


def _vectors(
    texts: Sequence[str], settings: ExemplarSettings, cache: EmbeddingCache | None, report: Callable[[int], None]
) -> Matrix:
    """Return the embeddings (len(texts)×d) of distinct texts, from the cache or made now and added to it."""
    keys = [cache_key(text) for text in texts]
    cached = cache.read(set(keys)) if cache else {}
    missing = [row for row, key in enumerate(keys) if key not in cached]
    vectors = _cached_vectors(keys, cached)
    done = len(texts) - len(missing)
    pending: list[int] = []
    for embedded in encode(texts, missing, settings):
        if vectors is None:
            vectors = np.empty((len(texts), embedded.vectors.shape[1]), np.float32)
        vectors[embedded.rows] = embedded.vectors
        pending += embedded.rows
        done += len(embedded.rows)
        if cache and (len(pending) >= ROWS_PER_CACHE_PART or done == len(texts)):
            cache.add([keys[row] for row in pending], vectors[pending])
            pending = []
        report(done)
    assert vectors is not None
    return vectors


def _cached_vectors(keys: Sequence[str], cached: Mapping[str, Matrix]) -> Matrix | None:
    """Return a len(keys)×d matrix with the cached rows filled in; None if nothing is cached, and d not known."""
    if not cached:
        return None
    width = len(next(iter(cached.values())))
    vectors = np.empty((len(keys), width), np.float32)
    for row, key in enumerate(keys):
        if key in cached:
            vectors[row] = cached[key]
    return vectors

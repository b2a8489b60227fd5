"""Embeddings as numpy matrices and as Arrow list arrays, without copying them one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Matrix = npt.NDArray[np.float32]


def vector_array(vectors: Matrix) -> pa.Array:
    """Return n×d floats as an Arrow list array of n rows."""
    offsets = np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(vectors).ravel())


def matrix(embeddings: pa.Table) -> Matrix:
    """Return the n×d matrix of EMBEDDINGS rows; a view of the Arrow memory if the column is one chunk."""
    chunks = []
    for chunk in embeddings["embedding"].chunks:
        if len(chunk):
            chunks.append(chunk.flatten().to_numpy().reshape(len(chunk), -1))
    if not chunks:
        return np.empty((0, 0), np.float32)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)

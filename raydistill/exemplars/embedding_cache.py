"""Embeddings that are kept for all runs of a user, a folder for each encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raydistill.exemplars.encoder import encoder_path
from raydistill.exemplars.vectors import Matrix, matrix, vector_array
from raydistill.runtime.files import file_hash, write_atomically
from raydistill.runtime.store import Store, fingerprint

_SCHEMA = pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32()))])


def cache_key(text: str) -> str:
    """Return the key of a text's embedding."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class EmbeddingCache:
    """The embeddings of one encoder below a Store: parts that are only ever added, each named by its keys."""

    def __init__(self, store: Store, encoder: str) -> None:
        self.fs = store.fs
        self.folder = f"{store.root}/embeddings/{_encoder_identity(encoder)}"

    def read(self, keys: set[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the vectors of those `keys` that are cached; a part that cannot be read counts as absent."""
        vectors: dict[str, npt.NDArray[np.float32]] = {}
        for info in self.fs.get_file_info(pafs.FileSelector(self.folder, allow_not_found=True)):
            if info.extension != "parquet":
                continue
            try:
                part = pq.read_table(info.path, filesystem=self.fs, schema=_SCHEMA)
            except (OSError, pa.ArrowInvalid):
                continue
            missing = keys - vectors.keys()
            rows = [row for row, key in enumerate(part["key"].to_pylist()) if key in missing]
            if len(rows) < part.num_rows:
                part = part.take(pa.array(rows, pa.int64()))
            vectors.update(zip(part["key"].to_pylist(), matrix(part), strict=True))
        return vectors

    def add(self, keys: Sequence[str], vectors: Matrix) -> None:
        """Keep the vectors (len(keys)×d) as another part."""
        self.fs.create_dir(self.folder, recursive=True)
        path = f"{self.folder}/{fingerprint(keys)[:16]}.parquet"
        part = pa.table([pa.array(keys), vector_array(vectors)], _SCHEMA)
        with write_atomically(self.fs, path) as stream:
            pq.write_table(part, stream, compression="zstd")


def _encoder_identity(encoder: str) -> str:
    """Return a name for the encoder's weights: the content of a folder; a hub id stands for itself."""
    folder = Path(encoder_path(encoder))
    if not folder.is_dir():
        return fingerprint(encoder)[:16]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = [(str(path.relative_to(folder)), file_hash(path)) for path in files]
    return fingerprint(hashes)[:16]

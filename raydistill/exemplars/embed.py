"""Sentence-BERT embeddings of the questions: a Ray Data stage, each question once per encoder (Algorithm 1, line 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raydistill.config import ExemplarSettings
from raydistill.runtime.errors import SettingsError, UserError
from raydistill.runtime.store import Store, fingerprint
from raydistill.runtime.weights import minilm_folder
from raydistill.tables import EMBEDDINGS

Matrix = npt.NDArray[np.float32]

BATCH = 64
"""Questions that the encoder works on at once."""
ROWS_PER_ACTOR = 1_000
"""Questions for which another actor is worth its start: about ten seconds, half a minute's work of one CPU."""
FLUSH = 16_384
"""Embeddings per part of the cache; a killed run loses at most these."""

_CACHED = pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32()))])


def encoding_text(question: str) -> str:
    """What is embedded: the question as the prompt shows it (Auto-CoT, Zhang et al. 2022)."""
    return f"Q: {question}\nA:"


def embed(
    questions: pa.Table,
    settings: ExemplarSettings,
    cache: Store | None,
    report: Callable[[int], None] = lambda done: None,
) -> pa.Table:
    """Embed each question with a Sentence-BERT in Ray Data actors; needs a connected Ray unless all are in `cache`.

    Batches are cut from the questions sorted by length, before they are dealt out: which batch a question is in, and so
    every bit of its embedding, is independent of the number of actors, of blocks and of the table's row order.
    A question that `cache` holds for this encoder (also from another run or task) is not embedded again; embeddings
    made beside other neighbours agree to float32 rounding (about 1e-7), which the choice of exemplars is safe from.

    Args:
        questions: QUESTIONS, n rows.
        cache: where embeddings are kept, in `embeddings/<encoder>/*.parquet`; None keeps none.
        report: told now and then how many of the questions are done.

    Returns:
        EMBEDDINGS, n rows in the order of `questions`, one vector of the encoder's width (384 for minilm) each.

    Raises:
        UserError: the encoder cannot be found or loaded.
    """
    texts = [encoding_text(q) for q in questions["question"].to_pylist()]
    distinct = sorted(set(texts), key=lambda text: (-len(text), text))
    row_of = {text: row for row, text in enumerate(distinct)}
    keys = [_key(text) for text in distinct]
    shelf = _Shelf(cache, settings.encoder) if cache else None
    known = shelf.read(set(keys)) if shelf else {}
    missing = [row for row, key in enumerate(keys) if key not in known]
    vectors: Matrix | None = np.stack([known[k] for k in keys]) if not missing and keys else None
    done = len(distinct) - len(missing)
    pending: list[int] = []
    for rows, block in _encode(distinct, missing, settings):
        if vectors is None:
            vectors = np.empty((len(distinct), block.shape[1]), np.float32)
            for row, key in enumerate(keys):
                if key in known:
                    vectors[row] = known[key]
        vectors[rows] = block
        pending += rows
        done += len(rows)
        if shelf and (len(pending) >= FLUSH or done == len(distinct)):
            shelf.add([keys[row] for row in pending], vectors[pending])
            pending = []
        report(round(done / len(distinct) * len(texts)))
    if vectors is None:
        return EMBEDDINGS.empty_table()
    order = np.fromiter((row_of[text] for text in texts), np.int64, len(texts))
    parts = [
        pa.table([*_columns(questions, start, BIG), vector_array(vectors[order[start : start + BIG]])], EMBEDDINGS)
        for start in range(0, len(texts), BIG)
    ]
    return pa.concat_tables(parts)


BIG = 1_000_000
"""Rows per chunk of the result: an Arrow list array ends at 2^31 numbers."""


def vector_array(vectors: Matrix) -> pa.Array:
    """n×d floats as an Arrow list array, without copying them one by one."""
    offsets = np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(vectors).ravel())


def matrix(embeddings: pa.Table) -> Matrix:
    """The n×d matrix of EMBEDDINGS rows; a view of the Arrow memory where the column is one chunk."""
    chunks = [c.flatten().to_numpy().reshape(len(c), -1) for c in embeddings["embedding"].chunks if len(c)]
    if not chunks:
        return np.empty((0, 0), np.float32)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def encoder_path(encoder: str) -> str:
    """What SentenceTransformer loads on this node: a folder, or a hub id.

    Raises:
        UserError: the folder is no model, or minilm's package is not installed.
    """
    if encoder == "minilm":
        return str(minilm_folder())
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise SettingsError(f"exemplars.encoder: the folder {encoder} holds no model (no config.json).")
        return str(folder.resolve())
    if encoder.startswith((".", "/", "~")) or encoder.count("/") > 1:
        raise SettingsError(f"exemplars.encoder: there is no folder {encoder}.")
    return encoder


class Encoder:
    """One model per actor; a block of {row, text} in, {row, embedding} out."""

    def __init__(self, encoder: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(encoder_path(encoder))  # on the GPU where Ray gave it one

    def __call__(self, block: pa.Table) -> pa.Table:
        vectors = self.model.encode(block["text"].to_pylist(), batch_size=BATCH, show_progress_bar=False)
        return pa.table({"row": block["row"], "embedding": vector_array(np.asarray(vectors, np.float32))})


def _encode(texts: list[str], rows: list[int], settings: ExemplarSettings) -> Iterator[tuple[list[int], Matrix]]:
    """Embed `texts[row]` for each of `rows` (longest first); yields rows and their vectors as blocks get ready."""
    if not rows:
        return
    encoder_path(settings.encoder)  # a wrong setting is named here, without Ray's stack traces
    import ray.data
    from ray.exceptions import RayError

    # Blocks of whole batches, their size a matter of the number of questions alone.
    size = min(max(len(rows) // 64 // BATCH, 1), 16) * BATCH
    blocks = [rows[i : i + size] for i in range(0, len(rows), size)]
    actors, gpus = _shared_out(len(rows), settings)
    stage = ray.data.from_arrow(
        [pa.table({"row": pa.array(b, pa.int64()), "text": [texts[row] for row in b]}) for b in blocks]
    ).map_batches(
        Encoder,
        fn_constructor_args=(settings.encoder,),
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        # Some actors may have no room yet: one is enough to begin.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=settings.encoder_cpus,
        num_gpus=gpus,
    )
    try:
        for batch in stage.iter_batches(batch_size=None, batch_format="pyarrow"):
            assert isinstance(batch, pa.Table)
            yield batch["row"].to_pylist(), matrix(batch)
    except RayError as error:
        raise UserError(
            f"The sentence encoder {settings.encoder} failed: {_last_line(error)}",
            "exemplars.encoder is minilm, a folder that SentenceTransformer opens, or a hub id this machine can load.",
        ) from None


def _shared_out(rows: int, settings: ExemplarSettings) -> tuple[int, float]:
    """How many actors embed `rows` questions, and the GPUs of each."""
    import ray

    total = ray.cluster_resources()
    gpus = settings.encoder_gpus
    if gpus is None:
        gpus = 1.0 if total.get("GPU", 0) >= (settings.encoder_actors or 1) else 0.0
    _check_room(settings.encoder_cpus, gpus)
    room = total.get("GPU", 0) / gpus if gpus else total.get("CPU", 0) / settings.encoder_cpus
    return settings.encoder_actors or max(1, min(int(room), rows // ROWS_PER_ACTOR)), gpus


def _check_room(cpus: float, gpus: float) -> None:
    """Refuse an actor that a single machine can never hold: Ray would wait for it for ever (a cluster may grow)."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for kind, wanted in ("cpus", cpus), ("gpus", gpus):
        has = nodes[0].get(kind.upper()[:-1], 0)
        if len(nodes) == 1 and wanted > has and nodes[0].get("CPU", 0):
            raise SettingsError(
                f"exemplars.encoder_{kind} is {wanted:g}, but Ray has {has:g} {kind.upper()[:-1]}s here.",
                f"Lower exemplars.encoder_{kind}, or connect to a cluster with ray.address.",
            )


class _Shelf:
    """The embeddings of one encoder below a Store: parts that are only ever added, each named by its content."""

    def __init__(self, cache: Store, encoder: str) -> None:
        self.fs = cache.fs
        self.folder = f"{cache.root}/embeddings/{_identity(encoder)}"

    def read(self, keys: set[str]) -> dict[str, Matrix]:
        """The vectors of those `keys` that are there; a part that cannot be read counts as absent."""
        known: dict[str, Matrix] = {}
        for info in self.fs.get_file_info(pafs.FileSelector(self.folder, allow_not_found=True)):
            if info.extension != "parquet":
                continue
            try:
                part = pq.read_table(info.path, filesystem=self.fs, schema=_CACHED)
            except (OSError, pa.ArrowInvalid):
                continue
            wanted = [i for i, key in enumerate(part["key"].to_pylist()) if key in keys and key not in known]
            part = part.take(pa.array(wanted, pa.int64())) if len(wanted) < part.num_rows else part
            known.update(zip(part["key"].to_pylist(), matrix(part), strict=True))
        return known

    def add(self, keys: list[str], vectors: Matrix) -> None:
        self.fs.create_dir(self.folder, recursive=True)
        path = f"{self.folder}/{fingerprint(keys)[:16]}.parquet"
        aside = f"{path}.part"
        pq.write_table(pa.table([keys, vector_array(vectors)], _CACHED), aside, filesystem=self.fs, compression="zstd")
        self.fs.move(aside, path)


def _identity(encoder: str) -> str:
    """A name for the encoder's weights: the content of a folder; a hub id stands for itself."""
    path = Path(encoder_path(encoder))
    if not path.is_dir():
        return fingerprint(encoder)[:16]
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _columns(questions: pa.Table, start: int, rows: int) -> list[Any]:
    part = questions.slice(start, rows)
    return [part["question_id"], part["task"]]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

"""The Sentence-BERT that embeds questions, in Ray Data actors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raydistill.config import ExemplarSettings
from raydistill.exemplars.vectors import Matrix, matrix, vector_array
from raydistill.runtime import resources
from raydistill.runtime.errors import SettingsError, UserError
from raydistill.runtime.formatting import last_line
from raydistill.runtime.weights import minilm_folder

BATCH_SIZE = 64
"""Texts that the encoder works on at once."""
LARGEST_BLOCK = 16 * BATCH_SIZE
"""Texts per Ray task, at most."""
ROWS_PER_ACTOR = 1_000
"""Texts for which another actor is worth its start: about ten seconds, half a minute's work of one CPU."""


class Embedded(NamedTuple):
    """The embeddings of a block of texts."""

    rows: list[int]
    """Which texts."""
    vectors: Matrix
    """len(rows)×d."""


class Actors(NamedTuple):
    """How the work is dealt out."""

    number: int
    gpus_each: float


def encoder_path(encoder: str) -> str:
    """Return what SentenceTransformer loads on this node: a folder, or a hub id.

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

        self.model = SentenceTransformer(encoder_path(encoder))  # on the GPU if Ray gave it one

    def __call__(self, block: pa.Table) -> pa.Table:
        """Embed the texts of a block."""
        vectors = self.model.encode(block["text"].to_pylist(), batch_size=BATCH_SIZE, show_progress_bar=False)
        return pa.table({"row": block["row"], "embedding": vector_array(np.asarray(vectors, np.float32))})


def encode(texts: Sequence[str], rows: Sequence[int], settings: ExemplarSettings) -> Iterator[Embedded]:
    """Embed `texts[row]` for each of `rows` (longest first); yield them as blocks get ready.

    Raises:
        UserError: the encoder cannot be found or loaded, or its actors fit nowhere.
    """
    if not rows:
        return
    encoder_path(settings.encoder)  # a wrong setting is named here, without Ray's stack traces
    import ray.data
    from ray.exceptions import RayError

    actors = _actors(len(rows), settings)
    embedded = ray.data.from_arrow(_blocks(texts, rows)).map_batches(
        Encoder,
        fn_constructor_args=(settings.encoder,),
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        # Some actors may have no room yet: one is enough to begin.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors.number, initial_size=actors.number),
        num_cpus=settings.encoder_cpus,
        num_gpus=actors.gpus_each,
    )
    try:
        for block in embedded.iter_batches(batch_size=None, batch_format="pyarrow"):
            assert isinstance(block, pa.Table)
            yield Embedded(block["row"].to_pylist(), matrix(block))
    except RayError as error:
        raise UserError(
            f"The sentence encoder {settings.encoder} failed: {last_line(error)}",
            "exemplars.encoder is minilm, a folder that SentenceTransformer opens, or a hub id this machine can load.",
        ) from None


def _blocks(texts: Sequence[str], rows: Sequence[int]) -> list[pa.Table]:
    """Cut `rows` into blocks of whole batches, whose size depends on the number of rows alone."""
    batches = max(len(rows) // 64 // BATCH_SIZE, 1)
    size = min(batches * BATCH_SIZE, LARGEST_BLOCK)
    blocks = []
    for start in range(0, len(rows), size):
        block_rows = rows[start : start + size]
        block_texts = [texts[row] for row in block_rows]
        blocks.append(pa.table({"row": pa.array(block_rows, pa.int64()), "text": block_texts}))
    return blocks


def _actors(rows: int, settings: ExemplarSettings) -> Actors:
    """Return how many actors embed `rows` texts, and the GPUs of each."""
    import ray

    total = ray.cluster_resources()
    gpus = settings.encoder_gpus
    if gpus is None:
        has_enough_gpus = total.get("GPU", 0) >= (settings.encoder_actors or 1)
        gpus = 1.0 if has_enough_gpus else 0.0
    _check_actor_fits("exemplars.encoder_cpus", "CPU", settings.encoder_cpus)
    _check_actor_fits("exemplars.encoder_gpus", "GPU", gpus)
    if settings.encoder_actors:
        return Actors(settings.encoder_actors, gpus)
    room = total.get("GPU", 0) / gpus if gpus else total.get("CPU", 0) / settings.encoder_cpus
    count = min(int(room), rows // ROWS_PER_ACTOR)
    return Actors(max(1, count), gpus)


def _check_actor_fits(setting: str, resource: str, amount: float) -> None:
    """Reject an actor that a single machine can never hold: Ray would wait for it for ever (a cluster may grow)."""
    nodes = resources.nodes()
    if len(nodes) != 1 or not nodes[0].get("CPU", 0):
        return
    available = nodes[0].get(resource, 0)
    if amount > available:
        raise SettingsError(
            f"{setting} is {amount:g}, but Ray has {available:g} {resource}s here.",
            f"Lower {setting}, or connect to a cluster with ray.address.",
        )

"""Embeddings of questions through real Ray actors: the encoder's own, the same however the work is dealt out, kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raydistill.config import ExemplarSettings
from raydistill.exemplars.embed import embed
from raydistill.exemplars.kmeans import cluster
from raydistill.exemplars.vectors import matrix
from raydistill.runtime.errors import SettingsError, UserError
from raydistill.runtime.store import Store
from raydistill.runtime.weights import minilm_folder
from raydistill.tables import EMBEDDINGS, QUESTIONS

TEXTS = [
    *(f"Tom has {i} apples and eats {i // 2}. How many apples are left?" for i in range(70)),
    *(f"A coin is heads up. {n} flips the coin. Is the coin still heads up?" for n in ("Ann", "Bob", "Cem", "Dot")),
    "Tom has 3 apples and eats 1. How many apples are left?",  # once more
]


def asked(texts: Sequence[str]) -> pa.Table:
    rows = [{"task": "t", "split": "train", "question_id": f"q{i}", "question": q} for i, q in enumerate(texts)]
    return pa.Table.from_pylist([dict.fromkeys(QUESTIONS.names) | row for row in rows], QUESTIONS)


@pytest.fixture(scope="module")
def embedded(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Store]:
    store = Store(str(tmp_path_factory.mktemp("cache")))
    return embed(asked(TEXTS), ExemplarSettings(), store), store


def test_embeddings_are_those_of_the_encoder_in_row_order(embedded: tuple[pa.Table, Store]) -> None:
    from sentence_transformers import SentenceTransformer

    found = embedded[0]
    assert found.schema.equals(EMBEDDINGS)
    assert found["question_id"].to_pylist() == [f"q{i}" for i in range(len(TEXTS))]
    x = matrix(found)
    assert x.shape == (len(TEXTS), 384)
    some = [0, 41, 72, len(TEXTS) - 1]
    expected = SentenceTransformer(str(minilm_folder())).encode([f"Q: {TEXTS[i]}\nA:" for i in some])
    np.testing.assert_allclose(x[some], expected, atol=1e-5)
    np.testing.assert_array_equal(x[3], x[-1])


def test_embeddings_do_not_depend_on_actors_or_row_order(embedded: tuple[pa.Table, Store]) -> None:
    order = np.random.default_rng(1).permutation(len(TEXTS))
    again = embed(asked(TEXTS).take(order), ExemplarSettings(encoder_actors=3, encoder_cpus=0.5), None)
    np.testing.assert_array_equal(matrix(again), matrix(embedded[0])[order])
    assert again["question_id"].to_pylist() == [f"q{i}" for i in order]


def test_a_cached_question_is_not_embedded_again(embedded: tuple[pa.Table, Store]) -> None:
    found, store = embedded
    worked: list[int] = []
    again = embed(asked(TEXTS), ExemplarSettings(), store, worked.append)
    assert again.equals(found)
    assert embed(asked(TEXTS[:9][::-1]), ExemplarSettings(), store, worked.append).num_rows == 9
    assert worked == []
    more = embed(asked([*TEXTS, "Quite new?"]), ExemplarSettings(), store, worked.append)
    assert worked == [len(TEXTS) + 1]
    np.testing.assert_array_equal(matrix(more)[: len(TEXTS)], matrix(found))
    assert embed(asked(TEXTS[:2]), ExemplarSettings(), store, worked.append).equals(found.slice(0, 2))
    assert len(worked) == 1  # though the newest part holds nothing of these


def test_a_damaged_part_of_the_cache_costs_only_work(embedded: tuple[pa.Table, Store], tmp_path: Path) -> None:
    shutil.copytree(embedded[1].path, tmp_path, dirs_exist_ok=True)
    for part in tmp_path.glob("embeddings/*/*.parquet"):
        part.write_bytes(part.read_bytes()[:100])
    worked: list[int] = []
    again = embed(asked(TEXTS[:3]), ExemplarSettings(), Store(str(tmp_path)), worked.append)
    assert worked == [3]
    np.testing.assert_allclose(matrix(again), matrix(embedded[0])[:3], atol=1e-5)


def test_no_questions_no_embeddings() -> None:
    assert embed(asked([]), ExemplarSettings(), None).num_rows == 0


def test_a_wrong_encoder_is_named(local_ray: None, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"exemplars\.encoder.*no folder.*nowhere"):
        embed(asked(TEXTS[:2]), ExemplarSettings(encoder=str(tmp_path / "nowhere")), None)
    with pytest.raises(SettingsError, match=r"exemplars\.encoder.*no model"):
        embed(asked(TEXTS[:2]), ExemplarSettings(encoder=str(tmp_path)), None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"sentence encoder .* failed"):
        embed(asked(TEXTS[:2]), ExemplarSettings(encoder=str(tmp_path)), None)


def test_an_actor_that_fits_nowhere_is_refused_rather_than_waited_for(local_ray: None) -> None:
    with pytest.raises(SettingsError, match=r"exemplars\.encoder_cpus is 64, but Ray has 2 CPUs"):
        embed(asked(TEXTS[:2]), ExemplarSettings(encoder_cpus=64), None)
    with pytest.raises(SettingsError, match=r"exemplars\.encoder_gpus is 1, but Ray has 0 GPUs"):
        embed(asked(TEXTS[:2]), ExemplarSettings(encoder_gpus=1), None)


def test_a_restart_after_half_of_the_questions_changes_no_cluster(
    embedded: tuple[pa.Table, Store], tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    embed(asked(TEXTS[::2]), ExemplarSettings(), store)  # what a killed run had kept: in other batches
    again = embed(asked(TEXTS), ExemplarSettings(), store)
    whole, half = (cluster(matrix(table), 8, seed=192, n_init=10) for table in (embedded[0], again))
    np.testing.assert_array_equal(half.labels, whole.labels)
    np.testing.assert_allclose(half.distances, whole.distances, atol=1e-5)


def test_another_encoder_has_embeddings_of_its_own(embedded: tuple[pa.Table, Store], tmp_path: Path) -> None:
    other = tmp_path / "encoder"
    shutil.copytree(minilm_folder(), other, copy_function=os.symlink)
    (other / "README.md").unlink(missing_ok=True)
    (other / "README.md").write_text("other weights, for all that the cache knows")
    worked: list[int] = []
    embed(asked(TEXTS[:2]), ExemplarSettings(encoder=str(other)), embedded[1], worked.append)
    assert worked == [2]
    embed(asked(TEXTS[:2]), ExemplarSettings(encoder=str(other)), embedded[1], worked.append)
    assert worked == [2]

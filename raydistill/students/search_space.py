"""The points of a search for hyper-parameters: those of grid and random, and what Optuna draws from."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.fs as pafs

from raydistill.config import SearchSettings
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.store import Store, fingerprint
from raydistill.students.trial import Trial

if TYPE_CHECKING:
    from ray.tune.search.optuna import OptunaSearch

POINT_FILE = "point.json"
"""In a trial's folder: the point that Optuna suggested."""


class SearchPoint(NamedTuple):
    """Settings of the students that a search varies, under their own names."""

    learning_rate: float
    per_device_train_batch_size: int


def points(search: SearchSettings) -> list[SearchPoint]:
    """Return the points that grid and random try, in their order; of optuna, as many as it will try."""
    rates = search.learning_rates
    batch_sizes = search.per_device_train_batch_sizes
    if search.algorithm == "grid":
        return [SearchPoint(rate, batch_size) for rate, batch_size in itertools.product(rates, batch_sizes)]
    random = Random(0)
    low = math.log(min(rates))
    high = math.log(max(rates))
    drawn = []
    for _ in range(search.num_samples):
        rate = math.exp(random.uniform(low, high))
        drawn.append(SearchPoint(_rounded(rate), random.choice(batch_sizes)))
    return drawn


def vary(base: Trial, point: SearchPoint) -> Trial:
    """Return `base` with other hyper-parameters, under a name of its own."""
    options = point._asdict()
    settings = base.settings.model_copy(update=options)
    return replace(base, settings=settings, key=fingerprint("search", base.key, options)[:16])


def optuna_search(
    search: SearchSettings, known: Sequence[tuple[SearchPoint, float]]
) -> tuple[dict[str, Any], OptunaSearch]:
    """Return Tune's search space, and Optuna's search in it that knows the accuracies of earlier points.

    Raises:
        SettingsError: optuna is not installed.
    """
    from ray import tune

    try:
        import optuna
    except ImportError:
        raise SettingsError(
            "search.algorithm optuna: optuna is not installed.", "pip install 'raydistill[search]'"
        ) from None
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rates = search.learning_rates
    space = {
        "learning_rate": tune.loguniform(min(rates), max(rates)),
        "per_device_train_batch_size": tune.choice(search.per_device_train_batch_sizes),
    }
    algorithm = OptunaSearch(
        points_to_evaluate=[point._asdict() for point, _ in known] or None,
        evaluated_rewards=[accuracy for _, accuracy in known] or None,
        seed=0,
    )
    return space, algorithm


def suggested_trial(base: Trial, config: dict[str, Any]) -> Trial:
    """Return the trial of a point that Optuna suggests; the point is noted, so that a later search knows of it."""
    batch_size = int(config["per_device_train_batch_size"])
    point = SearchPoint(_rounded(config["learning_rate"]), batch_size)
    trial = vary(base, point)
    note = {"base": base.key, "point": point._asdict()}
    Store(base.run).write_text(f"{trial.folder}/{POINT_FILE}", json.dumps(note))
    return trial


def suggested_points(base: Trial, store: Store) -> list[SearchPoint]:
    """Return the points that Optuna tried for `base`, in this search and in earlier ones."""
    selector = pafs.FileSelector(f"{store.root}/students", allow_not_found=True)
    folders = []
    for info in store.fs.get_file_info(selector):
        if info.type == pafs.FileType.Directory:
            folders.append(info.base_name)
    tried = []
    for folder in sorted(folders):
        text = store.read_text(f"students/{folder}/{POINT_FILE}")
        note = json.loads(text) if text else {}
        if note.get("base") == base.key:
            tried.append(SearchPoint(**note["point"]))
    return tried


def _rounded(rate: float) -> float:
    """Return a learning rate of three digits, which a person can write down."""
    return float(f"{rate:.3g}")

"""The search for hyper-parameters: the same trials as the grid's, chosen by what they give on validation questions.

What a trial gave is in its folder (`metrics.json`, or `stopped.json` where ASHA stopped it), so that a search that was
killed goes on: finished trials are not trained again, and Optuna is told what they gave.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pyarrow as pa

from raydistill.config import SearchSettings, Settings
from raydistill.method.methods import UNTRAINED
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.progress import Progress, Stage
from raydistill.runtime.store import Store, fingerprint
from raydistill.students import grid, schedule
from raydistill.students.trial import Trial

METRIC = "validation_accuracy"


def search(
    questions: pa.Table, training: pa.Table, settings: Settings, store: Store, progress: Progress
) -> list[dict[str, Any]]:
    """Try the points of `settings.search` for every trial of the grid (first seed); best first for each.

    Returns dicts: task, student, method, degree, learning_rate, batch_size, trial, epoch (the best one),
    validation_accuracy, validation_loss, stopped (by ASHA), error.

    Raises:
        SettingsError: no validation part.
    """
    students = settings.students
    if not students.validation_fraction or students.checkpoint_selection != "validation":
        raise SettingsError(
            "A search needs validation questions to choose by.",
            "Set students.validation_fraction (0.2, say) and students.checkpoint_selection to validation.",
        )
    first = settings.model_copy(update={"students": students.model_copy(update={"seeds": students.seeds[:1]})})
    bases, failed = grid.plan(questions, training, first, store)
    found = [_told(row) | {"error": row["error"]} for row in failed if row["method"] not in UNTRAINED]
    for base in bases:
        name = f"{base.student} · {base.task} · {base.method}"
        with progress.stage("search", total=len(points(settings.search)), unit="trials") as stage:
            tried = _search(base, settings, store, stage)
            best = tried[0][METRIC] if tried and tried[0][METRIC] is not None else None
            stage.finish(f"{name}: {len(tried)} trials" + (f", best {best:.1%}" if best is not None else ""))
        found += tried
    return found


def points(search: SearchSettings) -> list[dict[str, Any]]:
    """The points that grid and random try, in their order; of optuna, how many there will be."""
    rates, batches = search.learning_rates, search.per_device_train_batch_sizes
    if search.algorithm == "grid":
        return [{"learning_rate": r, "batch_size": b} for r, b in itertools.product(rates, batches)]
    random = Random(0)
    low, high = math.log(min(rates)), math.log(max(rates))
    return [
        {"learning_rate": float(f"{math.exp(random.uniform(low, high)):.3g}"), "batch_size": random.choice(batches)}
        for _ in range(search.num_samples)
    ]


def vary(base: Trial, point: dict[str, Any]) -> Trial:
    """`base` with other hyper-parameters, under a name of its own."""
    settings = base.settings.model_copy(update=point)
    return replace(base, settings=settings, trial=fingerprint("search", base.trial, point)[:16])


def _search(base: Trial, settings: Settings, store: Store, stage: Stage) -> list[dict[str, Any]]:
    how = settings.search
    known = _journal(base, store)
    wanted = points(how)
    if how.algorithm == "optuna":
        todo = wanted[len([p for p in known if _outcome(vary(base, p), store)]) :]
    else:
        todo = [p for p in wanted if _outcome(vary(base, p), store) is None]
    grid.forget_failures([vary(base, p) for p in todo], store)
    stage.update(len(wanted) - len(todo))
    if todo and (settings.local or settings.students.num_workers == 0):
        if how.algorithm == "optuna":
            raise SettingsError("search.algorithm optuna needs Ray.", "Leave --local out, or take grid or random.")
        schedule.here([vary(base, p) for p in todo], store, stage)
    elif todo:
        _tune(base, todo, known, settings, store, stage)
    tried = _journal(base, store) if how.algorithm == "optuna" else wanted
    rows = [_row(vary(base, p), p, store) for p in tried]
    return sorted(rows, key=lambda r: (-(r[METRIC] if r[METRIC] is not None else -1), r["validation_loss"] or math.inf))


def _tune(
    base: Trial,
    todo: list[dict[str, Any]],
    known: list[dict[str, Any]],
    settings: Settings,
    store: Store,
    stage: Stage,
) -> None:
    from ray import tune

    how = settings.search
    options: dict[str, Any] = {"metric": METRIC, "mode": "max"}
    if how.early_stopping:
        from raydistill.students.early_stopping import Halving

        options["scheduler"] = Halving(
            store.path,
            time_attr="epoch",
            max_t=settings.students.num_train_epochs,
            grace_period=1,
            reduction_factor=3,
            stop_last_trials=False,
        )
    if how.algorithm == "optuna":
        space, options["search_alg"] = _optuna(base, known, how, store)
        schedule.on_ray(partial(_suggested, base), space, settings, store, stage, num_samples=len(todo), **options)
        tried = _journal(base, store)
    else:
        schedule.on_ray(
            partial(_chosen, base, todo),
            {"index": tune.grid_search([*range(len(todo))])},
            settings,
            store,
            stage,
            **options,
        )
        tried = todo
    for point in tried:
        store.delete(f"{vary(base, point).folder}/ray")


def _chosen(base: Trial, todo: list[dict[str, Any]], config: dict[str, Any]) -> Trial:
    return vary(base, todo[config["index"]])


def _suggested(base: Trial, config: dict[str, Any]) -> Trial:
    """The trial of a point that Optuna suggests; the point is noted, so that a later search knows of it."""
    point = {"learning_rate": float(f"{config['learning_rate']:.3g}"), "batch_size": int(config["batch_size"])}
    trial = vary(base, point)
    Store(base.run).write_text(f"{trial.folder}/point.json", json.dumps({"base": base.trial, "point": point}))
    return trial


def _journal(base: Trial, store: Store) -> list[dict[str, Any]]:
    """The points that Optuna tried for `base`."""
    import pyarrow.fs as pafs

    selector = pafs.FileSelector(f"{store.root}/students", allow_not_found=True)
    folders = [i.base_name for i in store.fs.get_file_info(selector) if i.type == pafs.FileType.Directory]
    notes = [json.loads(text) for f in sorted(folders) if (text := store.read_text(f"students/{f}/point.json"))]
    return [note["point"] for note in notes if note["base"] == base.trial]


def _optuna(base: Trial, known: list[dict[str, Any]], how: SearchSettings, store: Store) -> tuple[dict[str, Any], Any]:
    from ray import tune

    try:
        import optuna
    except ImportError:
        raise SettingsError(
            "search.algorithm optuna: optuna is not installed.", "pip install 'raydistill[search]'"
        ) from None
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {
        "learning_rate": tune.loguniform(min(how.learning_rates), max(how.learning_rates)),
        "batch_size": tune.choice(how.per_device_train_batch_sizes),
    }
    rewards = [(p, _row(vary(base, p), p, store)[METRIC]) for p in known]
    scored = [(p, r) for p, r in rewards if r is not None]
    search = OptunaSearch(
        points_to_evaluate=[p for p, _ in scored] or None, evaluated_rewards=[r for _, r in scored] or None, seed=0
    )
    return space, search


def _outcome(trial: Trial, store: Store) -> dict[str, Any] | None:
    """What a trial left: its metrics, or what it had when it was stopped; None while it is not finished."""
    for name, stopped in (("metrics.json", False), ("stopped.json", True)):
        if (text := store.read_text(f"{trial.folder}/{name}")) is not None:
            return json.loads(text) | {"stopped": stopped}
    return None


def _row(trial: Trial, point: dict[str, Any], store: Store) -> dict[str, Any]:
    outcome = _outcome(trial, store) or {"epochs": [], "stopped": False}
    judged = [e for e in outcome["epochs"] if e[METRIC] is not None]
    best: dict[str, Any] = max(judged, key=lambda e: (e[METRIC], -(e["validation_loss"] or 0)), default={})
    facts = {"task": trial.task, "student": trial.student, "method": trial.method, "degree": trial.degree}
    return (
        _told(facts | {"trial": trial.trial})
        | point
        | {
            "epoch": best.get("epoch"),
            METRIC: best.get(METRIC),
            "validation_loss": best.get("validation_loss"),
            "stopped": outcome["stopped"],
            "error": store.read_text(f"{trial.folder}/error.txt") or "",
        }
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    names = ("task", "student", "method", "degree", "trial")
    empty = dict.fromkeys(("learning_rate", "batch_size", "epoch", METRIC, "validation_loss"))
    return {name: row[name] for name in names} | empty | {"stopped": False, "error": ""}

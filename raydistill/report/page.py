"""`report.html`: the run on one self-contained page (no scripts, nothing fetched), from whatever tables the run has."""

from __future__ import annotations

import shlex
import time
from importlib import resources
from itertools import groupby

import jinja2
import yaml
from markupsafe import Markup

from raydistill import __version__
from raydistill.config import Settings
from raydistill.method.methods import UNTRAINED
from raydistill.report import exemplars, header, labels, sections
from raydistill.report.results import Row
from raydistill.report.run import Run, read
from raydistill.runtime.store import Store

NAME = "report.html"


def location(store: Store) -> str:
    """Path (or URI) of the report of a run."""
    return f"{store.path}/{NAME}"


def write(store: Store, settings: Settings) -> str:
    """Write the report of the run in `store`; returns its path (or URI). Stages that the run lacks are left out."""
    store.write_text(NAME, render(read(store, settings)))
    return location(store)


def render(run: Run) -> str:
    """The page as text."""
    parts = {
        **header.head(run),
        **sections.students(run),
        **sections.by_epoch(run),
        **sections.cascade(run),
        **sections.teacher(run),
        **exemplars.exemplars(run),
        **sections.training(run),
        **sections.ledger(run),
        **sections.examples(run),
        **sections.judges(run),
        **sections.leakage(run),
        **sections.paper_beside(run),
        **_reproduce(run),
    }
    contents = [
        ("students", "Students", True),
        ("cascade", "Student and teacher", parts["cascade"]),
        ("teacher", "Teacher", parts["teacher"]),
        ("curation", "Curation", parts["curation"]),
        ("exemplars", "Exemplars", parts["exemplars"]),
        ("training", "Training", parts["trials"]),
        ("spend", "Spend", parts["ledger"]),
        ("examples", "Examples", parts["examples"]),
        ("judges", "Two judges", parts["judges"]),
        ("leakage", "Seen before?", parts["leakage"]),
        ("paper", "Beside the paper", parts["paper"]),
        ("reproduce", "How to reproduce", True),
    ]
    return (
        _environment()
        .get_template("page.html")
        .render(
            css=Markup(resources.files(__package__).joinpath("style.css").read_text("utf-8")),
            date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            version=__version__,
            contents=[(key, name) for key, name, there in contents if there],
            **parts,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raydistill", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": labels.percent,
        "method_name": labels.method,
        "sections": lambda rows: [(heading, list(rs)) for heading, rs in groupby(rows, key=lambda r: r["heading"])],
        "verdict_name": lambda verdict: labels.VERDICTS.get(verdict, verdict),
        "p_value": lambda p: f"{p:.3f}" if p >= 0.001 else "< 0.001",
    }
    environment.globals |= {"interval": labels.interval, "unmarked": (*UNTRAINED, "vanilla")}
    return environment


def _reproduce(run: Run) -> Row:
    manifests = [{"name": name, **manifest} for name, manifest in run.manifests.items()]
    versions = manifests[-1].get("versions", {}) if manifests else {}
    again = f"python jobs/full_pipeline.py {shlex.quote(run.settings.run_dir.rstrip('/') + '/settings.yaml')}"
    return {
        "command": f"{again}\n{again} --run_dir runs/again",
        "settings": yaml.safe_dump(run.settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        "versions": list(versions.items()),
        "manifests": manifests,
    }

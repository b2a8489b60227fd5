"""`report.html`: the run on one self-contained page (no scripts, nothing fetched), from whatever tables the run has."""

from __future__ import annotations

import time
from importlib import resources

import jinja2
from markupsafe import Markup

from raydistill import __version__
from raydistill.config import Settings
from raydistill.method.methods import METHODS
from raydistill.report import header, labels, palette, paper
from raydistill.report.run import RunReport, read
from raydistill.report.sections import SECTIONS
from raydistill.runtime import formatting
from raydistill.runtime.store import Store

NAME = "report.html"


def location(store: Store) -> str:
    """Return the path (or URI) of the report of a run."""
    return f"{store.path}/{NAME}"


def write(store: Store, settings: Settings) -> str:
    """Write the report of the run in `store`; returns its path (or URI). Stages that the run lacks are left out."""
    store.write_text(NAME, render(read(store, settings)))
    return location(store)


def render(run: RunReport) -> str:
    """Return the page as text."""
    style = resources.files(__package__).joinpath("style.css").read_text("utf-8")
    sections = []
    for section in SECTIONS:
        content = section.build(run)
        if content is not None:
            sections.append((section, content))
    template = _environment(run).get_template("page.html")
    return template.render(
        css=Markup(f"{palette.css()}\n{style}"),
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        simulated=run.simulated,
        header=header.build(run),
        sections=sections,
        cite=paper.tables()["cite"],
    )


def _environment(run: RunReport) -> jinja2.Environment:
    """Make the environment that the templates are rendered in; what they show in words goes through its filters."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raydistill", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": formatting.percent,
        "cost": run.cost,
        "p_value": _p_value,
        "colour": palette.of_method,
        "task_name": labels.task,
        "split_name": labels.split,
        "method_name": labels.method,
        "short_method_name": _short_method_name,
        "teacher_method_name": labels.teacher_method,
        "confidence_name": labels.confidence,
        "reason_name": labels.reason,
        "verdict_name": labels.verdict,
        "writes_rationale": _writes_rationale,
    }
    environment.globals["interval"] = labels.interval
    return environment


def _short_method_name(name: str, degree: int) -> str:
    return labels.method(name, degree, short=True)


def _p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _writes_rationale(method: str) -> bool:
    """Return True if the training text has an answer marker that a student can be expected to write."""
    return method not in METHODS or METHODS[method].target == "rationale"

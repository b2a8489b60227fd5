"""Section: the command, settings and versions of the run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from raydistill.report.run import RunReport
from raydistill.report.sections.content import Content


class TableRecord(NamedTuple):
    """What the store recorded about a table."""

    name: str
    rows: int
    failed: int
    finished: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Reproduce(Content):
    """See reproduce.html."""

    command: str
    settings: str
    versions: Mapping[str, str]
    tables: Sequence[TableRecord]


def build(run: RunReport) -> Reproduce:
    """Say how the run is continued or done again."""
    again = f"raydistill run {shlex.quote(run.settings.run_dir.rstrip('/') + '/settings.yaml')}"
    versions: Mapping[str, str] = {}
    for manifest in run.manifests.values():
        versions = manifest.get("versions", {})
    return Reproduce(
        command=f"{again}\n{again} --run_dir runs/again",
        settings=yaml.safe_dump(run.settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        versions=versions,
        tables=[_table(name, manifest) for name, manifest in run.manifests.items()],
    )


def _table(name: str, manifest: Mapping[str, Any]) -> TableRecord:
    return TableRecord(
        name, manifest["rows"], manifest.get("failed") or 0, manifest["finished"], manifest["fingerprint"]
    )

"""A look into a run's teacher stages: what the journal holds, the ledger, failures by kind, prompts and answers.

Reads only; safe while the run works.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from raydistill import config
from raydistill.runtime.errors import UserError
from raydistill.runtime.formatting import dollars
from raydistill.runtime.store import Store
from raydistill.tables import rows
from raydistill.teacher import ledger
from raydistill.teacher.journal import Damage, Folder
from raydistill.teacher.journal import export as journal_export
from raydistill.teacher.purchases import Example, Purchases, Sums, look
from raydistill.teacher.stage_names import STAGES

SHOWN_CHARS = 1500  # of a prompt or answer
SHOWN_ERROR_CHARS = 300


def report(run: str, journal: str | None = None, samples: int = 2, failures: int = 5, seed: int = 0) -> str:
    """Describe what a run has asked its teacher.

    Args:
        run: the run directory, or its URI.
        journal: the journal's folder or URI, if it is not the one in the run's settings.
        samples: prompts and answers to show per kind of call.
        failures: failed rows to show per stage.
        seed: chooses the prompts and answers.

    Raises:
        UserError: there is no such run, or its journal is of another format.
    """
    store, path = _places(run, journal)
    parts = [_journal(path, look(Folder(path, read_only=True), samples, seed)), _ledger(store)]
    parts += [_stage(store, stage, failures) for stage in STAGES]
    return "\n\n".join(part for part in parts if part)


def export(run: str, file: str, journal: str | None = None) -> str:
    """Write a run's journal as one Parquet file, a row a sample; return a sentence about it.

    Args:
        run: the run directory, or its URI.
        file: where the table goes: a path or a URI.
        journal: the journal's folder or URI, if it is not the one in the run's settings.

    Raises:
        UserError: there is no such run, its journal is of another format, or the file cannot be written.
    """
    _, path = _places(run, journal)
    damage: list[Damage] = []
    count = journal_export.export(Folder(path, read_only=True), file, damage)
    return "\n".join([f"{file}: {count:,} samples of the journal {path}", *(f"left out: {item}" for item in damage)])


def _places(run: str, journal: str | None) -> tuple[Store, str]:
    """Return a run's store, and the place of its journal."""
    if "://" not in run and not Path(run).is_dir():
        raise UserError(f"There is no run directory {run}.", "Give the run_dir of a run.")
    store = Store(run, read_only=True)
    settings = yaml.safe_load(store.read_text("settings.yaml") or "{}") or {}  # unchecked: of any version
    own_journal = (settings.get("teacher") or {}).get("journal")
    return store, config.journal_path(run, journal or own_journal)


def _journal(path: str, purchases: Purchases) -> str:
    lines = [f"journal {path}"]
    for group, sums in sorted(purchases.sums.items(), key=lambda item: item[0]):
        lines.append(f"  {group.stage:10} {group.task:26} {group.kind:9} {group.model}: {_sums(sums)}")
    for stage, lost in sorted(purchases.lost.items()):
        lines.append(
            f"  {stage:10} {lost.calls:,} calls without a reply, which may have taken {lost.tokens:,} tokens, "
            f"{dollars(lost.usd)}"
        )
    lines += [f"  left out: {damage}" for damage in purchases.damage]
    lines += [f"  kept, as a part of it is damaged: {name}" for name in purchases.damaged_files]
    if len(lines) == 1:
        return f"journal {path}: nothing yet"
    for (stage, kind), examples in sorted(purchases.examples.items()):
        for example in examples:
            lines.append(f"--- {stage} {kind}, {example.task} ---")
            lines += [_tail(_prompt(example)), "--- answered ---", _tail(example.text)]
    return "\n".join(lines)


def _sums(sums: Sums) -> str:
    usd = None if sums.unpriced else sums.usd
    unreadable = f"{sums.unreadable:,} unreadable, " if sums.unreadable else ""
    return (
        f"{sums.calls:,} calls, {sums.samples:,} samples, {sums.prompt_tokens:,} + {sums.completion_tokens:,} tokens, "
        f"{unreadable}{sums.truncated:,} cut by length, {dollars(usd)}"
    )


def _prompt(example: Example) -> str:
    request = json.loads(example.request)
    if "messages" in request:
        return str(request["messages"][0]["content"])
    return str(request.get("prompt", ""))


def _ledger(store: Store) -> str:
    table = ledger.load(store)
    if not table.num_rows:
        return ""
    lines = ["ledger of the finished stages"]
    for row in rows(table):
        lines.append(
            f"  {row['stage']:10} {row['task']:26} {row['kind']:9} {row['calls']:,} calls ({row['reused']:,} from the "
            f"journal, {row['attempts']:,} attempts), {row['prompt_tokens']:,} prompt ({row['cached_tokens']:,} "
            f"cached) + {row['completion_tokens']:,} completion tokens, {dollars(row['usd'])}"
        )
    return "\n".join(lines)


def _stage(store: Store, stage: str, failures: int) -> str:
    """Describe the finished stage's samples, and what failed when it last ran (which may have ended it)."""
    lines = []
    if store.manifest(stage) is not None:
        lines.append(_samples(stage, store.read(stage)))
    if store.manifest(f"failed_{stage}") is not None:
        lines += _failed(stage, store.read(f"failed_{stage}"), failures)
    return "\n".join(lines)


def _samples(stage: str, samples: pa.Table) -> str:
    answered_by = Counter(samples["answered_by"].to_pylist())
    answered_by["answer_call"] += answered_by["second_call"]  # its name in tables of version 0.1
    right = pc.sum(samples["correct"]).as_py() or 0
    return (
        f"{stage}: {samples.num_rows:,} samples, {right:,} right; answered by rationale {answered_by['rationale']:,}, "
        f"answer call {answered_by['answer_call']:,}, none {answered_by['none']:,}"
    )


def _failed(stage: str, failed: pa.Table, shown: int) -> list[str]:
    lines = [f"{stage}: {failed.num_rows:,} samples failed when it last ran"]
    for kind, count in Counter(failed["error_kind"].to_pylist()).most_common():
        lines.append(f"  {kind}: {count:,}")
    for row in rows(failed.slice(0, shown)):
        error = row["error"][:SHOWN_ERROR_CHARS]
        lines.append(f"    {row['task']} {row['question_id']} after {row['attempts']} attempts: {error}")
    return lines


def _tail(text: str) -> str:
    hidden = len(text) - SHOWN_CHARS
    return text if hidden <= 0 else f"… ({hidden:,} characters before) …{text[-SHOWN_CHARS:]}"


if __name__ == "__main__":  # the command of version 0.1
    sys.exit("This is now: raydistill inspect RUN_DIR")

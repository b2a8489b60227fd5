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
from raydistill.teacher.journal import Folder
from raydistill.teacher.purchases import Example, Purchases, look
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
    if "://" not in run and not Path(run).is_dir():
        raise UserError(f"There is no run directory {run}.", "Give the run_dir of a run.")
    store = Store(run, read_only=True)
    settings = yaml.safe_load(store.read_text("settings.yaml") or "{}") or {}  # unchecked: of any version
    own_journal = (settings.get("teacher") or {}).get("journal")
    path = config.journal_path(run, journal or own_journal)
    parts = [_journal(path, look(Folder(path, read_only=True), samples, seed)), _ledger(store)]
    parts += [_stage(store, stage, failures) for stage in STAGES]
    return "\n\n".join(part for part in parts if part)


def _journal(path: str, purchases: Purchases) -> str:
    if not purchases.sums:
        return f"journal {path}: nothing yet"
    lines = [f"journal {path}"]
    for group, sums in sorted(purchases.sums.items(), key=lambda item: item[0]):
        usd = None if sums.unpriced else sums.usd
        lines.append(
            f"  {group.stage:10} {group.task:26} {group.kind:9} {group.model}: {sums.calls:,} calls, "
            f"{sums.samples:,} samples, {sums.prompt_tokens:,} + {sums.completion_tokens:,} tokens, "
            f"{sums.truncated:,} cut by length, {dollars(usd)}"
        )
    for (stage, kind), examples in sorted(purchases.examples.items()):
        for example in examples:
            lines.append(f"--- {stage} {kind}, {example.task} ---")
            lines += [_tail(_prompt(example)), "--- answered ---", _tail(example.text)]
    return "\n".join(lines)


def _prompt(example: Example) -> str:
    request = json.loads(example.request)
    prompt: str = request.get("prompt") or request["messages"][0]["content"]
    return prompt


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

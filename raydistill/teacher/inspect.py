"""Look into a run's teacher stages: python -m raydistill.teacher.inspect RUN_DIR [--samples 3] [--failures 10]

Prints what the journal holds, the ledger, failures by kind, and samples of prompts and answers. Reads only; safe while
the run works.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import yaml

from raydistill import config
from raydistill.runtime.errors import UserError
from raydistill.runtime.store import Store
from raydistill.teacher import ledger
from raydistill.teacher.journal import Folder, compaction

STAGES = ("zero_shot", "few_shot", "llm_judge")
SHOWN = 1500  # characters of a prompt or answer


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="run directory")
    parser.add_argument("--journal", help="journal folder or URI, where it is not the one in the run's settings")
    parser.add_argument("--samples", type=int, default=2, help="prompts and answers to show per kind of call")
    parser.add_argument("--failures", type=int, default=5, help="failed rows to show")
    parser.add_argument("--seed", type=int, default=0, help="which samples")
    args = parser.parse_args(argv)
    print(report(args.run, args.journal, args.samples, args.failures, args.seed))


def report(run: str, journal: str | None = None, samples: int = 2, failures: int = 5, seed: int = 0) -> str:
    """What `main` prints.

    Raises:
        UserError: there is no such run, or its journal is of another format.
    """
    if "://" not in run and not Path(run).is_dir():
        raise UserError(f"There is no run directory {run}.", "Give the run_dir of a run.")
    store = Store(run, read_only=True)
    settings = yaml.safe_load(store.read_text("settings.yaml") or "{}") or {}  # unchecked: of any version
    path = config.journal_path(run, journal or (settings.get("teacher") or {}).get("journal"))
    parts = [_bought(path, samples, seed), _ledger(store)]
    parts += [_stage(store, name, failures) for name in STAGES]
    return "\n\n".join(part for part in parts if part)


def _bought(path: str, wanted: int, seed: int) -> str:
    folder = Folder(path, read_only=True)
    counts: dict[tuple[str, ...], dict[str, Any]] = defaultdict(Counter)
    chosen: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    seen: Counter[tuple[str, str]] = Counter()
    luck = random.Random(seed)
    columns = ["stage", "task", "kind", "model", "key", "response", "finish_reason", "prompt_tokens"]
    columns += ["cached_tokens", "completion_tokens", "usd", "attempts", "request", "text"]
    for table in compaction.scan(folder, columns):
        for row in table.to_pylist():
            into = counts[row["stage"], row["task"], row["kind"], row["model"]]
            into["samples"] += 1
            into["calls"] += row["key"] == row["response"]
            into["cut"] += row["finish_reason"] == "length"
            for name in ("prompt_tokens", "completion_tokens", "attempts"):
                into[name] += row[name]
            into["usd"] += row["usd"] or 0.0
            into["unpriced"] += row["usd"] is None
            if row["request"]:  # a reservoir: each as likely as any other
                kept, place = chosen[row["stage"], row["kind"]], luck.randrange(seen[row["stage"], row["kind"]] + 1)
                seen[row["stage"], row["kind"]] += 1
                if len(kept) < wanted:
                    kept.append(row)
                elif place < wanted:
                    kept[place] = row
    lines = [f"journal {path}" + ("" if counts else ": nothing yet")]
    for (stage, task, kind, model), into in sorted(counts.items()):
        lines.append(
            f"  {stage:10} {task:26} {kind:9} {model}: {into['calls']:,} calls, {into['samples']:,} samples, "
            f"{into['prompt_tokens']:,} + {into['completion_tokens']:,} tokens, {into['cut']:,} cut by length, "
            f"{_usd(None if into['unpriced'] else into['usd'])}"
        )
    for (stage, kind), rows in sorted(chosen.items()):
        for row in rows:
            asked = json.loads(row["request"])
            prompt = asked.get("prompt") or asked["messages"][0]["content"]
            lines += [f"--- {stage} {kind}, {row['task']} ---", _tail(prompt), "--- answered ---", _tail(row["text"])]
    return "\n".join(lines)


def _ledger(store: Store) -> str:
    rows = ledger.load(store).to_pylist()
    if not rows:
        return ""
    lines = ["ledger of the finished stages"]
    for row in rows:
        lines.append(
            f"  {row['stage']:10} {row['task']:26} {row['kind']:9} {row['calls']:,} calls ({row['reused']:,} from the "
            f"journal, {row['attempts']:,} attempts), {row['prompt_tokens']:,} prompt ({row['cached_tokens']:,} "
            f"cached) + {row['completion_tokens']:,} completion tokens, {_usd(row['usd'])}"
        )
    return "\n".join(lines)


def _stage(store: Store, name: str, failures: int) -> str:
    """The finished stage's samples, and what failed when it last ran (which may have ended it)."""
    lines = []
    if store.manifest(name) is not None:
        rows = store.read(name).select(["answered_by", "correct"]).to_pylist()
        by = Counter(row["answered_by"] for row in rows)
        right = sum(bool(row["correct"]) for row in rows)
        lines.append(
            f"{name}: {len(rows):,} samples, {right:,} right; answered by rationale {by['rationale']:,}, "
            f"second call {by['second_call']:,}, none {by['none']:,}"
        )
    if store.manifest(f"failed_{name}") is None:
        return "\n".join(lines)
    failed = store.read(f"failed_{name}").to_pylist()
    lines.append(f"{name}: {len(failed):,} samples failed when it last ran")
    lines += [f"  {kind}: {n:,}" for kind, n in Counter(row["error_kind"] for row in failed).most_common()]
    lines += [
        f"    {row['task']} {row['question_id']} after {row['attempts']} attempts: {row['error'][:300]}"
        for row in failed[:failures]
    ]
    return "\n".join(lines)


def _usd(usd: float | None) -> str:
    return "unknown price" if usd is None else f"${usd:.4f}"


def _tail(text: str) -> str:
    return text if len(text) <= SHOWN else f"… ({len(text) - SHOWN:,} characters before) …{text[-SHOWN:]}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

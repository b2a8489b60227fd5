"""What a stage's answers cost: calls, attempts, tokens, dollars by task and kind of call (tables.LEDGER)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raydistill.runtime.store import Store
from raydistill.tables import LEDGER
from raydistill.teacher.caller import Sample

# One response (or failed request) that a sample rests on; a list of these travels beside each row of SAMPLES.
CALL = pa.struct(
    [
        ("response", pa.string()),  # its sample's and its own key; "failed …" for a request without an answer
        ("kind", pa.string()),
        ("attempts", pa.int64()),
        ("reused", pa.bool_()),
        ("prompt_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("usd", pa.float64()),
    ]
)
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


def facts(used: list[tuple[str, Sample]], session: str) -> list[dict[str, Any]]:
    """The samples that a row rests on, as CALL values; those bought before this session are reused ones."""
    found = []
    for kind, sample in used:
        if sample.answer is not None:
            a = sample.answer
            found.append(
                {"response": a.key + a.response, "kind": kind, "attempts": a.attempts, "reused": a.session != session}
                | {name: getattr(a, name) for name in _TOKENS}
                | {"usd": a.usd}
            )
        elif sample.error is not None and sample.error.attempts:
            found.append(
                {"response": f"failed {sample.error.key}", "kind": kind, "attempts": sample.error.attempts}
                | {"reused": False}
                | dict.fromkeys(_TOKENS, 0)
                | {"usd": 0.0}
            )
    return found


def ledger(stage: str, samples: pa.Table, calls: list[list[dict[str, Any]]]) -> pa.Table:
    """The stage's LEDGER from the facts beside each row of `samples`; a response counts once."""
    seen: set[str] = set()
    sums: dict[tuple[str, str], dict[str, Any]] = defaultdict(
        lambda: {"calls": 0, "attempts": 0, "reused": 0, **dict.fromkeys(_TOKENS, 0), "usd": 0.0}
    )
    for task, used in zip(samples["task"].to_pylist(), calls, strict=True):
        for fact in used:
            into = sums[task, fact["kind"]]
            if fact["response"] in seen:
                continue
            seen.add(fact["response"])
            first = fact["response"][:64] == fact["response"][64:]
            into["calls"] += first
            into["reused"] += first and fact["reused"]
            into["attempts"] += fact["attempts"]
            for name in _TOKENS:
                into[name] += fact[name]
            into["usd"] = None if fact["usd"] is None or into["usd"] is None else into["usd"] + fact["usd"]
    rows = [{"stage": stage, "task": task, "kind": kind, **found} for (task, kind), found in sorted(sums.items())]
    return pa.Table.from_pylist(rows, schema=LEDGER)


def load(store: Store, stages: Sequence[str] = ("zero_shot", "few_shot", "llm_judge")) -> pa.Table:
    """The run's LEDGER over those of `stages` that have finished."""
    names = [f"ledger_{stage}" for stage in stages if store.manifest(f"ledger_{stage}") is not None]
    return pa.concat_tables([LEDGER.empty_table(), *(store.read(name) for name in names)])

"""What a stage's answers cost: calls, attempts, tokens, dollars by task and kind of call (tables.LEDGER)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import pyarrow as pa

from raydistill.runtime.store import Store
from raydistill.tables import LEDGER, SAMPLES, Row
from raydistill.teacher.samples import Call, Outcome
from raydistill.teacher.stage_names import STAGES

# A call that a row of SAMPLES rests on, with its sample's part of what the response cost.
CALL = pa.struct(
    [
        ("id", pa.string()),  # one for each sample of a response, and for each failed request
        ("kind", pa.string()),  # rationale | answer | judgement
        ("calls", pa.int64()),  # 1 for the first sample of a response, else 0
        ("attempts", pa.int64()),
        ("reused", pa.bool_()),  # bought before this session
        ("prompt_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("usd", pa.float64()),  # null: the model has no known price
    ]
)
SAMPLES_WITH_CALLS = pa.schema([*SAMPLES, ("ledger", pa.list_(CALL))])
"""What the actors return: SAMPLES, and beside each row the calls that it rests on (CALL)."""


class CallFact(NamedTuple):
    """A value of CALL."""

    id: str
    kind: str
    calls: int = 0
    attempts: int = 0
    reused: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0


def with_calls(outcome: Outcome, session: str) -> Row:
    """Return a dialogue's outcome as a row of SAMPLES_WITH_CALLS; `session` is this run of the stage."""
    row = outcome.row._asdict()
    row["ledger"] = [fact._asdict() for fact in _facts(outcome.calls, session)]
    return row


def _facts(calls: Sequence[Call], session: str) -> list[CallFact]:
    """Return what each call took; a request that was never sent is none."""
    facts: list[CallFact] = []
    for kind, sample in calls:
        answer = sample.answer
        error = sample.error
        if answer is not None:
            fact = CallFact(
                id=answer.key + answer.response,
                kind=kind,
                calls=int(answer.key == answer.response),
                attempts=answer.attempts,
                reused=answer.session != session,
                prompt_tokens=answer.prompt_tokens,
                cached_tokens=answer.cached_tokens,
                completion_tokens=answer.completion_tokens,
                usd=answer.usd,
            )
            facts.append(fact)
        elif error is not None and error.attempts:
            facts.append(CallFact(f"failed {error.key}", kind, attempts=error.attempts))
    return facts


@dataclass
class _Sums:
    """The sums of one task and kind of call; fields as in LEDGER."""

    calls: int = 0
    attempts: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0

    def add(self, fact: CallFact) -> None:
        """Add what a call took."""
        self.calls += fact.calls
        self.attempts += fact.attempts
        if fact.reused:
            self.reused += fact.calls
        self.prompt_tokens += fact.prompt_tokens
        self.cached_tokens += fact.cached_tokens
        self.completion_tokens += fact.completion_tokens
        if self.usd is None or fact.usd is None:
            self.usd = None
        else:
            self.usd += fact.usd


def summarise(stage: str, samples: pa.Table) -> pa.Table:
    """Return a stage's LEDGER from its SAMPLES_WITH_CALLS; a call that several rows rest on counts once."""
    counted: set[str] = set()
    sums: dict[tuple[str, str], _Sums] = defaultdict(_Sums)
    for task, facts in zip(samples["task"].to_pylist(), samples["ledger"].to_pylist(), strict=True):
        for values in facts:
            fact = CallFact(**values)
            group = sums[task, fact.kind]
            if fact.id not in counted:
                counted.add(fact.id)
                group.add(fact)
    rows = []
    for (task, kind), group in sorted(sums.items(), key=lambda item: item[0]):
        rows.append({"stage": stage, "task": task, "kind": kind, **asdict(group)})
    return pa.Table.from_pylist(rows, schema=LEDGER)


def load(store: Store, stages: Sequence[str] = STAGES) -> pa.Table:
    """Return the run's LEDGER over those of `stages` that have finished."""
    tables = [LEDGER.empty_table()]
    for stage in stages:
        name = f"ledger_{stage}"
        if store.manifest(name) is not None:
            tables.append(store.read(name))
    return pa.concat_tables(tables)

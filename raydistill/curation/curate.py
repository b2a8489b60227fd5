"""Which rationales become training text, and why the others do not (Ho et al. 2023; Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import CurationSettings
from raydistill.curation.diversity import most_different
from raydistill.method import answers, steps
from raydistill.tables import TRAINING

CHUNK = 50_000
"""Rows that are Python objects at one time."""

KEY = ["task", "method", "degree", "question_id", "sample_index"]
"""The columns that name a sample."""

_READ = [*KEY, "rationale", "prediction", "correct", "error_kind", "error", "split"]


def curate(
    questions: pa.Table,
    zero_shot: pa.Table,
    few_shot: pa.Table,
    settings: CurationSettings,
    methods: Sequence[str],
    degrees: Sequence[int],
    judgements: pa.Table | None = None,
) -> pa.Table:
    """Every candidate for training and its fate. Only questions of the split `train` are candidates.

    A rationale is kept where its answer is right; the settings add more conditions. The label is the gold answer. An
    empty rationale is never kept. With `settings.clean` (off in paper mode) the training text is the reasoning alone.

    Args:
        questions: QUESTIONS.
        zero_shot: SAMPLES of method fine_tune_cot.
        few_shot: SAMPLES of methods few_shot_unfiltered and new_fine_tune_cot.
        methods: `vanilla` makes a row per train question, with an empty rationale; the others read samples.
        degrees: degrees of reasoning D whose samples are read; vanilla has degree 1 alone.
        judgements: JUDGEMENTS of what is kept without them, where the teacher was asked (see `judging`).

    Returns:
        TRAINING, sorted by (task, method, degree, question_id, sample_index). `reason` of a row that is not kept:
        "failed: …", "no answer", "wrong answer: …", "empty rationale", "step does not hold: …",
        "contradicts its answer: …", "teacher judges: …", "repeats sample …", "too like sample …".
    """
    train = questions.filter(pc.equal(questions["split"], "train"))
    parts = [TRAINING.empty_table()]
    if "vanilla" in methods:
        parts.append(_vanilla(train))
    place = {id_: row for row, id_ in enumerate(train["question_id"].to_pylist())}
    refused = {} if judgements is None else _refused(judgements, settings.llm_judge_strict)
    for samples in (zero_shot, few_shot):
        wanted = pc.and_(
            pc.is_in(samples["method"], value_set=pa.array([*methods], pa.string())),
            pc.is_in(samples["degree"], value_set=pa.array([*degrees], pa.int32())),
        )
        wanted = pc.and_(wanted, pc.is_in(samples["question_id"], value_set=train["question_id"].combine_chunks()))
        samples = samples.select(_READ).filter(wanted).sort_by([(name, "ascending") for name in KEY])
        parts += _chunks(_judged(samples, train, place, settings, refused))
    return pa.concat_tables(parts).sort_by([(name, "ascending") for name in KEY])


def _vanilla(train: pa.Table) -> pa.Table:
    n = train.num_rows
    columns = {
        "method": pa.repeat("vanilla", n),
        "degree": pa.repeat(pa.scalar(1, pa.int32()), n),
        "sample_index": pa.repeat(pa.scalar(0, pa.int32()), n),
        "rationale": pa.repeat("", n),
        "kept": pa.repeat(True, n),
        "reason": pa.repeat("", n),
    }
    return pa.table([columns[f] if f in columns else train[f] for f in TRAINING.names], TRAINING)


def _refused(judgements: pa.Table, strict: bool) -> dict[tuple[Any, ...], str]:
    """The samples that the teacher calls wrong (`strict`: does not call right), with the reason to drop them."""
    drops = ("no", "unclear", "unjudged", "failed") if strict else ("no",)
    rows = judgements.filter(pc.is_in(judgements["verdict"], pa.array(drops)))
    return {_key(row): f"teacher judges: {_short(row['reply']) or row['verdict']}" for row in _rows(rows)}


def _short(reply: str) -> str:
    text = " ".join(reply.split("\nQ:")[0].split())
    return text if len(text) <= 120 else text[:117] + "…"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    return (row for batch in table.to_batches(max_chunksize=CHUNK) for row in batch.to_pylist())


def _judged(
    samples: pa.Table,
    train: pa.Table,
    place: dict[str, int],
    settings: CurationSettings,
    refused: dict[tuple[Any, ...], str],
) -> Iterator[dict[str, Any]]:
    """Rows of TRAINING for sorted `samples`, a question's samples together."""
    for key, group in groupby(_rows(samples), key=lambda row: _key(row)[:4]):
        question = train.slice(place[key[3]], 1).to_pylist()[0]
        candidates = [_candidate(row, question, settings) for row in group]
        for row in candidates:
            if row["kept"] and (reason := refused.get(_key(row))):
                row |= {"kept": False, "reason": reason}
        _drop_alike(candidates, settings)
        yield from candidates


def _candidate(sample: dict[str, Any], question: dict[str, Any], settings: CurationSettings) -> dict[str, Any]:
    rationale = sample["rationale"].strip()
    if settings.clean:
        rationale = answers.clean_rationale(rationale)
    reason = _fault(sample, question, rationale, settings)
    row = {name: sample[name] for name in KEY}
    row |= {"question": question["question"], "rationale": rationale, "answer": question["answer"]}
    return row | {"kept": not reason, "reason": reason}


def _fault(sample: dict[str, Any], question: dict[str, Any], rationale: str, settings: CurationSettings) -> str:
    if sample["error"] or sample["error_kind"]:
        return f"failed: {sample['error_kind'] or sample['error']}"
    if sample["prediction"] is None:
        return "no answer"
    if not sample["correct"]:
        return f"wrong answer: {sample['prediction']}"
    if not rationale:
        return "empty rationale"
    if settings.check_steps:
        kind = {"answer_type": question["answer_type"], "choices": question["choices"] or ()}
        fault = steps.check(sample["rationale"], question=question["question"], prediction=sample["prediction"], **kind)
        return str(fault or "")
    return ""


def _drop_alike(candidates: list[dict[str, Any]], settings: CurationSettings) -> None:
    """Among the kept samples of one question: drop repetitions, then all but the most different ones."""
    if settings.drop_duplicates:
        first: dict[str, int] = {}
        for row in candidates:
            if row["kept"]:
                text = " ".join(row["rationale"].split())
                if text in first:
                    row |= {"kept": False, "reason": f"repeats sample {first[text]}"}
                first.setdefault(text, row["sample_index"])
    kept = [row for row in candidates if row["kept"]]
    if settings.keep_most_different and len(kept) > settings.keep_most_different:
        _, alike = most_different([row["rationale"] for row in kept], settings.keep_most_different)
        for i, (other, similar) in alike.items():
            sample = kept[other]["sample_index"]
            kept[i] |= {"kept": False, "reason": f"too like sample {sample}: {similar:.2f}"}


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[pa.Table]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield pa.Table.from_pylist(chunk, TRAINING)
            chunk = []
    yield pa.Table.from_pylist(chunk, TRAINING)

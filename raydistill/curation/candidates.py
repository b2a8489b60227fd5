"""The candidates for training: which samples there are, each with its question and what the LLM judge says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tables

CHUNK = 50_000
"""Rows that are Python objects at one time."""

KEY = ["task", "method", "degree", "question_id", "sample_index"]
"""The columns that name a sample."""

_SAMPLE_COLUMNS = [*KEY, "rationale", "prediction", "correct", "error_kind", "error"]
_QUESTION_COLUMNS = ["question", "answer", "answer_type", "choices"]

SampleKey = tuple[str, str, int, str, int]
"""Values of `KEY`."""


@dataclass(frozen=True)
class Sample:
    """Columns of SAMPLES that curation reads."""

    task: str
    method: str
    degree: int
    question_id: str
    sample_index: int
    rationale: str
    prediction: str | None
    correct: bool
    error_kind: str
    error: str


@dataclass(frozen=True)
class Question:
    """Columns of QUESTIONS that curation reads."""

    question: str
    answer: str
    answer_type: str
    choices: Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """What the LLM judge says of a sample (columns of JUDGEMENTS)."""

    verdict: str
    reply: str


@dataclass(frozen=True)
class Candidate:
    """A sample that may become training text."""

    sample: Sample
    question: Question
    rationale: str
    """The text that would be trained on."""
    verdict: Verdict | None
    """None if the LLM judge was not asked about it."""


def read_verdicts(judgements: pa.Table | None) -> dict[SampleKey, Verdict]:
    """Return the LLM judge's verdicts by the sample that they are about."""
    verdicts: dict[SampleKey, Verdict] = {}
    if judgements is None:
        return verdicts
    for row in tables.rows(judgements.select([*KEY, "verdict", "reply"]), CHUNK):
        key = (row["task"], row["method"], row["degree"], row["question_id"], row["sample_index"])
        verdicts[key] = Verdict(row["verdict"], row["reply"])
    return verdicts


def sample_key(sample: Sample) -> SampleKey:
    """Return the values of `KEY`."""
    return sample.task, sample.method, sample.degree, sample.question_id, sample.sample_index


def of_question(
    samples: pa.Table, train: pa.Table, methods: Sequence[str], degrees: Sequence[int]
) -> Iterator[tuple[Question, list[Sample]]]:
    """Yield each train question with its samples of one method and degree, in the order of `KEY`.

    Args:
        samples: SAMPLES.
        train: the train questions (QUESTIONS). They decide what a train question is, not the split of the samples.
        methods: names of the methods whose samples are read.
        degrees: degrees of reasoning whose samples are read.
    """
    place = {question_id: row for row, question_id in enumerate(train["question_id"].to_pylist())}
    columns = train.select(_QUESTION_COLUMNS)
    chosen = _chosen(samples, train, methods, degrees)
    rows = (Sample(**row) for row in tables.rows(chosen, CHUNK))
    for key, group in groupby(rows, key=lambda sample: sample_key(sample)[:4]):
        values = columns.slice(place[key[3]], 1).to_pylist()[0]
        question = Question(values["question"], values["answer"], values["answer_type"], values["choices"] or ())
        yield question, list(group)


def _chosen(samples: pa.Table, train: pa.Table, methods: Sequence[str], degrees: Sequence[int]) -> pa.Table:
    """Select the columns and rows of SAMPLES that curation reads, sorted by `KEY`."""
    of_methods = pc.is_in(samples["method"], value_set=pa.array(list(methods), pa.string()))
    of_degrees = pc.is_in(samples["degree"], value_set=pa.array(list(degrees), pa.int32()))
    of_train = pc.is_in(samples["question_id"], value_set=train["question_id"].combine_chunks())
    chosen = pc.and_(pc.and_(of_methods, of_degrees), of_train)
    return samples.select(_SAMPLE_COLUMNS).filter(chosen).sort_by(ascending(KEY))


def ascending(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return sort keys for `pyarrow.Table.sort_by`."""
    return [(name, "ascending") for name in names]

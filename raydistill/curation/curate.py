"""Which rationales become training text, and why the others do not (Ho et al. 2023; Li et al. 2024).

The rules themselves are in `curation/rules.py`. This module finds the candidates and applies the rules to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tables
from raydistill.config import CurationSettings
from raydistill.curation import candidates
from raydistill.curation.candidates import CHUNK, KEY, Candidate, Question, Sample, SampleKey, Verdict
from raydistill.curation.rules import QUESTION_RULES, SAMPLE_RULES, Drop, QuestionRule
from raydistill.method import answers
from raydistill.method.methods import METHODS


class TrainingRow(NamedTuple):
    """A row of tables.TRAINING."""

    task: str
    method: str
    degree: int
    question_id: str
    sample_index: int
    question: str
    rationale: str
    answer: str
    kept: bool
    reason: str
    reason_detail: str


def curate(
    questions: pa.Table,
    zero_shot: pa.Table,
    few_shot: pa.Table,
    settings: CurationSettings,
    methods: Sequence[str],
    degrees: Sequence[int],
    judgements: pa.Table | None = None,
) -> pa.Table:
    """List every candidate for training and its fate; only questions of the split `train` have candidates.

    A rationale is kept if no rule of `curation/rules.py` objects. The label is the gold answer. With `settings.clean`
    (off in paper mode) the training text is the reasoning alone.

    Args:
        questions: QUESTIONS.
        zero_shot: SAMPLES of methods with a zero-shot prompt.
        few_shot: SAMPLES of methods with a few-shot prompt.
        settings: which rules apply.
        methods: names of trained methods. One that does not ask the teacher (`vanilla`) makes a row per train
            question, with an empty rationale; the others read samples.
        degrees: degrees of reasoning D whose samples are read; rows without a sample have degree 1.
        judgements: JUDGEMENTS of what is kept without them; None if the LLM judge was not asked.

    Returns:
        TRAINING, sorted by (task, method, degree, question_id, sample_index).
    """
    verdicts = candidates.read_verdicts(judgements)
    rules = _Rules(settings, verdicts, QUESTION_RULES)
    return _curate(questions, [zero_shot, few_shot], methods, degrees, rules)


def before_comparison(
    questions: pa.Table,
    zero_shot: pa.Table,
    few_shot: pa.Table,
    settings: CurationSettings,
    methods: Sequence[str],
    degrees: Sequence[int],
) -> pa.Table:
    """Curate by the rules that look at one sample alone, without the LLM judge: what that judge is asked about.

    Samples of one question are compared afterwards, among those that it has not rejected.

    Args:
        questions: QUESTIONS.
        zero_shot: SAMPLES of methods with a zero-shot prompt.
        few_shot: SAMPLES of methods with a few-shot prompt.
        settings: which rules apply.
        methods: as for `curate`.
        degrees: as for `curate`.

    Returns:
        TRAINING.
    """
    rules = _Rules(settings, {}, ())
    return _curate(questions, [zero_shot, few_shot], methods, degrees, rules)


class _Rules(NamedTuple):
    """The rules that apply, and what they read besides the samples."""

    settings: CurationSettings
    verdicts: dict[SampleKey, Verdict]
    question_rules: Sequence[QuestionRule]

    def decide(self, samples: Iterable[Sample], question: Question) -> list[TrainingRow]:
        """Make the rows for all samples of one question, method and degree."""
        sampled = [self._candidate(sample, question) for sample in samples]
        drops: dict[int, Drop] = {}
        for place, candidate in enumerate(sampled):
            drop = self._objection(candidate)
            if drop is not None:
                drops[place] = drop
        for rule in self.question_rules:
            kept_places = [place for place in range(len(sampled)) if place not in drops]
            kept = [sampled[place] for place in kept_places]
            for place, drop in rule(kept, self.settings).items():
                drops[kept_places[place]] = drop
        return [_row(candidate, drops.get(place)) for place, candidate in enumerate(sampled)]

    def _candidate(self, sample: Sample, question: Question) -> Candidate:
        rationale = sample.rationale.strip()
        if self.settings.clean:
            rationale = answers.clean_rationale(rationale)
        return Candidate(sample, question, rationale, self.verdicts.get(candidates.sample_key(sample)))

    def _objection(self, candidate: Candidate) -> Drop | None:
        """Return what the first rule that objects says."""
        for rule in SAMPLE_RULES:
            drop = rule(candidate, self.settings)
            if drop is not None:
                return drop
        return None


def _curate(
    questions: pa.Table,
    samples: Sequence[pa.Table],
    methods: Sequence[str],
    degrees: Sequence[int],
    rules: _Rules,
) -> pa.Table:
    train = questions.filter(pc.equal(questions["split"], "train"))
    parts = [tables.TRAINING.empty_table()]
    parts += [_without_teacher(train, name) for name in dict.fromkeys(methods) if not METHODS[name].asks_teacher]
    for table in samples:
        parts += _in_chunks(_decided(candidates.of_question(table, train, methods, degrees), rules))
    return pa.concat_tables(parts).sort_by(candidates.ascending(KEY))


def _without_teacher(train: pa.Table, method: str) -> pa.Table:
    """Make a kept row for each train question, with an empty rationale: the student learns the answer alone."""
    n = train.num_rows
    columns = {
        "method": pa.repeat(method, n),
        "degree": pa.repeat(pa.scalar(1, pa.int32()), n),
        "sample_index": pa.repeat(pa.scalar(0, pa.int32()), n),
        "rationale": pa.repeat("", n),
        "kept": pa.repeat(True, n),
        "reason": pa.repeat("", n),
        "reason_detail": pa.repeat("", n),
    }
    arrays = [columns[name] if name in columns else train[name] for name in tables.TRAINING.names]
    return pa.table(arrays, tables.TRAINING)


def _decided(groups: Iterable[tuple[Question, list[Sample]]], rules: _Rules) -> Iterator[TrainingRow]:
    for question, samples in groups:
        yield from rules.decide(samples, question)


def _row(candidate: Candidate, drop: Drop | None) -> TrainingRow:
    sample = candidate.sample
    reason, detail = drop or Drop("")
    return TrainingRow(
        task=sample.task,
        method=sample.method,
        degree=sample.degree,
        question_id=sample.question_id,
        sample_index=sample.sample_index,
        question=candidate.question.question,
        rationale=candidate.rationale,
        answer=candidate.question.answer,
        kept=drop is None,
        reason=reason,
        reason_detail=detail,
    )


def _in_chunks(rows: Iterable[TrainingRow]) -> Iterator[pa.Table]:
    """Yield tables of at most `CHUNK` rows."""
    chunk: list[TrainingRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield _table(chunk)
            chunk = []
    yield _table(chunk)


def _table(rows: Sequence[TrainingRow]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() for row in rows], tables.TRAINING)

"""The tables that flow between the stages, as explicit Arrow schemas.

A reader who knows these tables knows the program. Every column has a fixed type: a column that happens to be empty in
its first rows must not become null-typed. Text columns hold "" rather than null unless a comment says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import pyarrow as pa

Row: TypeAlias = dict[str, Any]
"""A row of a table as Arrow gives it to Python: {column: value}. Rows that a module makes have types of their own."""

QUESTIONS = pa.schema(
    [
        ("task", pa.string()),
        ("split", pa.string()),  # train | test | test_unseen (patterns that no train question has)
        ("question_id", pa.string()),  # stable hash of task, source row and question text
        ("question", pa.string()),
        ("answer", pa.string()),  # gold, as the benchmark prints it ("43.0", "B", "yajo", "yes")
        ("answer_type", pa.string()),  # a type of method/answer_types.py
        ("choices", pa.list_(pa.string())),  # option texts of a letter question, in order A, B, …; else empty
        ("source_row", pa.int64()),  # row in the source file or generator, from 0
    ]
)

# What the teacher is asked for rationales: one row for each question, method and degree.
PROMPTS = pa.schema(
    [
        *QUESTIONS,
        ("method", pa.string()),  # as in SAMPLES
        ("degree", pa.int32()),  # samples to draw
        ("prompt", pa.string()),  # of the rationale call, whole
        ("max_tokens", pa.int32()),  # token limit of the completion
        ("temperature", pa.float64()),  # 0: greedy
        ("adaptive", pa.bool_()),  # true: an answer call only if the rationale does not hold the answer; false: always
    ]
)

# What the teacher is asked about its own rationales (curation.llm_judge): one row, and one call, for each sample.
JUDGE_PROMPTS = pa.schema(
    [
        *PROMPTS,  # `prompt` is the only call; `adaptive` is false
        ("sample_index", pa.int32()),  # with question_id, method and degree: the row of SAMPLES that is judged
    ]
)

# One teacher sample (zero_shot and few_shot): `sample_index` 0 … degree-1 of one question.
SAMPLES = pa.schema(
    [
        ("question_id", pa.string()),
        ("task", pa.string()),
        ("split", pa.string()),
        ("method", pa.string()),  # one that asks the teacher (method/methods.py)
        ("degree", pa.int32()),  # 1: greedy; D > 1: D samples at a temperature
        ("sample_index", pa.int32()),
        ("rationale", pa.string()),  # completion without the answer sentence where that held the answer
        ("answer_text", pa.string()),  # the text that the prediction was read from
        ("prediction", pa.string()),  # by the judge that `teacher.extraction` names; null: no answer found
        ("correct", pa.bool_()),
        ("robust_prediction", pa.string()),  # both judgements are kept, whichever of them decides
        ("robust_correct", pa.bool_()),
        ("published_prediction", pa.string()),  # by the rules of Ho et al. 2023
        ("published_correct", pa.bool_()),
        ("answered_by", pa.string()),  # rationale | answer_call | none
        ("finish_reason", pa.string()),  # of the rationale call
        ("calls", pa.int32()),  # requests that this sample needed (a request for n samples counts for the first)
        ("attempts", pa.int32()),  # requests sent, retries included
        ("prompt_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cost_usd", pa.float64()),  # null: the model has no known price
        ("teacher", pa.string()),
        ("request_key", pa.string()),  # journal key of the rationale request
        ("error_kind", pa.string()),  # "" | rate_limit | transient | fatal | context_length | budget
        ("error", pa.string()),
    ]
)

PASSED_OVER = pa.struct(
    [
        ("question_id", pa.string()),
        ("rank", pa.int32()),
        ("distance", pa.float32()),
        ("condition", pa.string()),  # the first that it fails (exemplars/conditions.py), or "repeated"
        ("reason", pa.string()),  # all that it fails, as text
    ]
)

EMBEDDINGS = pa.schema([("question_id", pa.string()), ("task", pa.string()), ("embedding", pa.list_(pa.float32()))])

EXEMPLARS = pa.schema(
    [
        ("task", pa.string()),
        ("method", pa.string()),  # one whose prompt has exemplars
        ("cluster", pa.int32()),
        ("cluster_size", pa.int32()),
        ("rank", pa.int32()),  # 0: the question nearest to the centre
        ("relaxation_level", pa.int32()),  # level of the conditions that it was accepted on, from 1 (all of them)
        ("distance", pa.float32()),
        ("question_id", pa.string()),
        ("question", pa.string()),
        ("rationale", pa.string()),  # one line, without an answer sentence
        ("answer", pa.string()),  # the teacher's, written canonically
        ("passed_over", pa.list_(PASSED_OVER)),  # the nearer candidates and why not
    ]
)

# Where each question of the exemplar pool lies, for the report's map.
CLUSTERS = pa.schema(
    [
        ("task", pa.string()),
        ("question_id", pa.string()),
        ("cluster", pa.int32()),
        ("distance", pa.float32()),
        ("x", pa.float32()),  # first two principal components of the embeddings
        ("y", pa.float32()),
    ]
)

# What the teacher says of its own rationales (curation.llm_judge), one row for each that curation would keep.
JUDGEMENTS = pa.schema(
    [
        ("task", pa.string()),
        ("method", pa.string()),
        ("degree", pa.int32()),
        ("question_id", pa.string()),
        ("sample_index", pa.int32()),  # with the four columns above: the row of SAMPLES that is judged
        ("verdict", pa.string()),  # yes | no | unclear | unjudged (no budget was left) | failed (see error)
        ("reply", pa.string()),  # the teacher's
        ("calls", pa.int32()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cost_usd", pa.float64()),  # null: the model has no known price
        ("error_kind", pa.string()),
        ("error", pa.string()),
    ]
)

# Every candidate for training and its fate; students see the kept rows.
TRAINING = pa.schema(
    [
        ("task", pa.string()),
        ("method", pa.string()),  # one that students are trained by
        ("degree", pa.int32()),
        ("question_id", pa.string()),
        ("sample_index", pa.int32()),
        ("question", pa.string()),
        ("rationale", pa.string()),  # "" if the student learns the answer alone
        ("answer", pa.string()),  # gold
        ("kept", pa.bool_()),
        # Why it is not kept, "" for kept rows (curation/rules.py): failed | no_answer | wrong_answer | empty_rationale
        # | step_does_not_hold | contradicts_answer | does_not_reach_answer | llm_judge | repeated | too_similar
        ("reason", pa.string()),
        ("reason_detail", pa.string()),  # the particulars as free text: the wrong answer, the step, the judge's reply
    ]
)

EPOCH = pa.struct(
    [
        ("epoch", pa.int32()),  # from 1
        ("train_loss", pa.float64()),
        ("validation_loss", pa.float64()),  # null without a validation part
        ("validation_accuracy", pa.float64()),  # null unless judged
        ("test_accuracy", pa.float64()),  # null unless judged every epoch (paper mode)
    ]
)

STUDENTS = pa.schema(
    [
        ("trial", pa.string()),  # hash of everything that the trained weights depend on
        ("task", pa.string()),
        (
            "method",
            pa.string(),
        ),  # of method/methods.py
        ("degree", pa.int32()),
        ("student", pa.string()),
        ("seed", pa.int64()),
        ("settings", pa.string()),  # JSON
        ("train_rows", pa.int64()),
        ("steps", pa.int64()),
        ("train_seconds", pa.float64()),
        ("train_tokens", pa.int64()),
        ("epochs", pa.list_(EPOCH)),
        ("checkpoint", pa.string()),  # a folder that `from_pretrained` opens
        ("error", pa.string()),
    ]
)

PREDICTIONS = pa.schema(
    [
        ("trial", pa.string()),
        ("task", pa.string()),
        ("split", pa.string()),
        ("question_id", pa.string()),
        ("completion", pa.string()),
        ("prediction", pa.string()),  # null: no answer found
        ("correct", pa.bool_()),
        ("published_prediction", pa.string()),
        ("published_correct", pa.bool_()),
        ("has_answer_marker", pa.bool_()),  # has the answer mark that its training text has
        ("stopped_at_eos", pa.bool_()),  # ended by itself, not by the token limit
        ("tokens", pa.int64()),
        ("confidence", pa.float64()),  # mean token probability, 0 … 1
    ]
)

RESULTS = pa.schema(
    [
        ("task", pa.string()),
        ("split", pa.string()),
        ("method", pa.string()),
        ("degree", pa.int32()),
        ("student", pa.string()),
        ("seed", pa.int64()),
        ("trial", pa.string()),
        ("n", pa.int64()),
        ("correct", pa.int64()),
        ("accuracy", pa.float64()),  # 0 … 1, robust judge
        ("ci_low", pa.float64()),  # Wilson, 95 %
        ("ci_high", pa.float64()),
        ("published_accuracy", pa.float64()),  # the published judge (Ho et al. 2023)
        ("answer_marker_rate", pa.float64()),
        ("eos_rate", pa.float64()),
        ("mean_tokens", pa.float64()),
        ("train_rows", pa.int64()),
        ("error", pa.string()),
    ]
)

# Student and teacher together: one row a threshold (jobs/cascade.py).
CASCADE = pa.schema(
    [
        ("trial", pa.string()),
        ("task", pa.string()),
        ("student", pa.string()),
        ("method", pa.string()),
        ("confidence", pa.string()),  # probability (mean over tokens) | votes (share of samples that agree)
        ("split", pa.string()),  # validation (questions kept out of training; thresholds are chosen here) | test | …
        ("threshold", pa.float64()),  # questions below it go to the teacher
        ("teacher_fraction", pa.float64()),  # 0: the student alone … 1: the teacher alone
        ("accuracy", pa.float64()),
        ("chosen", pa.bool_()),  # the threshold that the validation questions suggest
    ]
)

LEDGER = pa.schema(
    [
        ("stage", pa.string()),  # zero_shot | few_shot | llm_judge
        ("task", pa.string()),
        ("kind", pa.string()),  # rationale | answer | judgement
        ("calls", pa.int64()),  # answered requests that this run's tables rest on
        ("attempts", pa.int64()),  # requests sent for them, retries included
        ("reused", pa.int64()),  # of the calls, those that a journal already held
        ("prompt_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("usd", pa.float64()),  # null: the model has no known price
    ]
)


def rows(table: pa.Table, chunk: int = 10_000) -> Iterator[Row]:
    """Yield the rows of `table` as dicts, `chunk` of them in memory at once."""
    for batch in table.to_batches(max_chunksize=chunk):
        yield from batch.to_pylist()

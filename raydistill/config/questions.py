"""Settings of the questions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raydistill.config.base import AnswerTypeName, Section, TaskName


class ColumnSettings(Section):
    question: str = "question"
    """Column (JSON field) that holds the question."""
    answer: str = "answer"
    """Column that holds the gold answer."""
    choices: str = "choices"
    """Column with the option texts of a letter question (a list, or text parted by "|"); may be absent otherwise."""
    split: str = "split"
    """Column that says train or test; where it is absent the rows are split at random (seeded)."""


class QuestionSettings(Section):
    tasks: list[TaskName] = ["coin_flip"]
    """Benchmarks to run; empty when only `file` is wanted."""
    source: Literal["auto", "published", "generated"] = "auto"
    """published: the benchmark's file (from RAYDISTILL_DATA_DIR, the cache or a download with a hash check);
    generated: made here (coin_flip, last_letter_concatenation, tracking_shuffled_objects); auto: the published file
    where it can be had and no other `generated_size` or `generated_items` is wanted, else generated where possible."""
    split: Literal["default", "template"] = "default"
    """default: the published 70:30 index files of Ho et al. 2023 (also for generated questions, by the same rule);
    template: their leakage-free split (multiarith, date_understanding)."""
    generated_size: int = Field(500, ge=4)
    """Questions per generated task."""
    generated_items: int = Field(4, ge=1)
    """People in a generated coin flip, names in a generated last-letter question; tracking: 3 (also for 4), 5 or 7."""
    unseen_patterns: int = Field(0, ge=0)
    """Flip patterns (coin_flip) kept out of train and of test: their questions become the split `test_unseen`.
    Other tasks have none."""
    file: str | None = None
    """Your own questions: a .jsonl, .csv or .parquet file, or hf://NAME[:SUBSET] for a Hugging Face data set."""
    name: str = "custom"
    """Task name under which `file` appears in tables and report."""
    answer_type: AnswerTypeName | None = None
    """Answer type of `file`; needed when `file` is given."""
    columns: ColumnSettings = ColumnSettings()
    """Which columns of `file` hold what."""
    test_fraction: float = Field(0.3, gt=0, lt=1)
    """Share of `file` that becomes the test split where the file does not say."""
    limit_train: int | None = Field(None, ge=1)
    """At most this many train questions per task, in row order (a smaller, cheaper run)."""
    limit_test: int | None = Field(None, ge=1)
    """At most this many questions per test split and task."""

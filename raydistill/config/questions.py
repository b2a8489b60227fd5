"""Settings of the questions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raydistill.config.base import AnswerTypeName, Section, TaskName


class ColumnSettings(Section):
    """Which columns of `questions.file` hold what."""

    question: str = "question"
    """Column (or JSON field) with the question."""
    answer: str = "answer"
    """Column with the gold answer."""
    choices: str = "choices"
    """Column with the option texts of a letter question: a list, or one text with "|" between the options. Other answer
    types need no such column."""
    split: str = "split"
    """Column that says train or test. If there is none, the rows are split at random with the run's seed."""


class QuestionSettings(Section):
    """The questions that the teacher and the students answer."""

    tasks: list[TaskName] = ["coin_flip"]
    """Benchmarks to run; [] to run on `file` alone."""
    source: Literal["auto", "published", "generated"] = "auto"
    """Where the benchmarks come from. published: the authors' files (from the folder RAYDISTILL_DATA_DIR, the cache, or
    a download with a hash check). generated: written by a program (coin_flip, last_letter_concatenation,
    tracking_shuffled_objects). auto: the published file if it is available and `generated_size` and `generated_items`
    have their defaults, else generated."""
    split: Literal["default", "template"] = "default"
    """Which questions are for training. default: the 70:30 index files of Ho et al. 2023 (generated questions are split
    by the same rule). template: their split in which no test question shares its template with a train question
    (multiarith, date_understanding)."""
    generated_size: int = Field(500, ge=4)
    """Number of questions per generated task."""
    generated_items: int = Field(4, ge=1)
    """People in a generated coin flip, or names in a generated last-letter question. tracking_shuffled_objects has 3
    (also for 4), 5 or 7 people."""
    unseen_patterns: int = Field(0, ge=0)
    """Number of flip patterns of coin_flip that are kept out of train and test; their questions become the split
    `test_unseen`. Other tasks have no patterns."""
    file: str | None = None
    """Your own questions: path of a .jsonl, .csv or .parquet file, or hf://NAME[:SUBSET] for a Hugging Face data set
    (extra `hub`)."""
    name: str = "custom"
    """Task name of `file` in tables and report."""
    answer_type: AnswerTypeName | None = None
    """Answer type of `file`; required with `file`."""
    columns: ColumnSettings = ColumnSettings()
    """The columns of `file`."""
    test_fraction: float = Field(0.3, gt=0, lt=1)
    """Fraction of `file` that becomes the test split if the file has no split column."""
    limit_train: int | None = Field(None, ge=1)
    """Use at most this many train questions per task, the first ones: a smaller, cheaper run."""
    limit_test: int | None = Field(None, ge=1)
    """Use at most this many questions per task and test split, the first ones."""

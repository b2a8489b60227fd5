"""A row of PROMPTS (or JUDGE_PROMPTS): a question, and how the teacher is asked about it."""

from __future__ import annotations

from typing import NamedTuple

from raydistill.tables import Row


class PromptRow(NamedTuple):
    """Columns as in tables.PROMPTS; `sample_index` is that of tables.JUDGE_PROMPTS."""

    task: str
    split: str
    question_id: str
    question: str
    answer: str
    answer_type: str
    choices: list[str]
    source_row: int
    method: str
    degree: int
    prompt: str
    max_tokens: int
    temperature: float
    adaptive: bool
    sample_index: int = 0

    @classmethod
    def of(cls, row: Row) -> PromptRow:
        """Return a row of the Arrow table, read into Python; further columns are left out."""
        values = {name: row[name] for name in cls._fields if name in row}
        values["choices"] = row["choices"] or []
        return cls(**values)

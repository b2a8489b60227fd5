"""How much of the test questions a student has already seen: what a test accuracy must be read with."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

import pyarrow as pa

LEAKAGE = pa.schema(
    [
        ("task", pa.string()),
        ("split", pa.string()),  # test | test_unseen
        ("n", pa.int64()),  # questions of that split
        ("exact", pa.int64()),  # of them, those that are also train questions
        ("masked_digits", pa.int64()),  # … that equal a train question once digits are masked
        ("template", pa.int64()),  # … once digits and names are masked
        ("context", pa.int64()),  # … that share everything before the last sentence with a train question
        ("other_task", pa.int64()),  # … that are train questions of another task (punctuation and case aside)
    ]
)


FORMS = ("exact", "masked_digits", "template", "context")
"""The columns that compare a question with those of its own task."""


class Forms(NamedTuple):
    """A question in the forms that are compared."""

    exact: str
    masked_digits: str
    template: str
    context: str
    bare: str
    """Without punctuation and case, for other tasks."""


def leakage(questions: pa.Table) -> pa.Table:
    """Count, per task and test split, the test questions that occur in the train split in one form or another.

    Args:
        questions: schema `tables.QUESTIONS`.

    Returns:
        One row per task and test split, schema `LEAKAGE`.
    """
    rows = questions.select(["task", "split", "question"]).to_pylist()
    lower_words = _lower_words(rows)
    forms_of_row = [_forms(row["question"], lower_words[row["task"]]) for row in rows]
    train_forms: dict[tuple[str, str], set[str]] = defaultdict(set)
    train_tasks: dict[str, set[str]] = defaultdict(set)
    for row, forms in zip(rows, forms_of_row, strict=True):
        if row["split"] == "train":
            for name in FORMS:
                train_forms[row["task"], name].add(getattr(forms, name))
            train_tasks[forms.bare].add(row["task"])
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row, forms in zip(rows, forms_of_row, strict=True):
        task = row["task"]
        if row["split"] == "train":
            continue
        count = counts.setdefault((task, row["split"]), dict.fromkeys(LEAKAGE.names[2:], 0))
        count["n"] += 1
        for name in FORMS:
            count[name] += getattr(forms, name) in train_forms[task, name]
        other_tasks = train_tasks.get(forms.bare, set()) - {task}
        count["other_task"] += bool(other_tasks)
    table = [{"task": task, "split": split, **count} for (task, split), count in counts.items()]
    return pa.Table.from_pylist(table, schema=LEAKAGE)


def _lower_words(rows: list[dict[str, str]]) -> dict[str, set[str]]:
    """Return the words that each task's questions write in lower case."""
    words: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        words[row["task"]].update(re.findall(r"\b[a-z]\w*", row["question"]))
    return words


def _forms(question: str, lower_words: set[str]) -> Forms:
    digits = _mask_digits(question)
    return Forms(
        exact=question,
        masked_digits=digits,
        template=_mask_names(digits, lower_words),
        context=_context(question),
        bare=_bare(question),
    )


def _mask_digits(question: str) -> str:
    return re.sub(r"\d+", "0", question)


def _mask_names(question: str, lower_words: set[str]) -> str:
    """Mask each run of capitalised words that the task's questions never write in lower case."""
    masked = re.sub(r"\b[A-Z]\w*", lambda word: word[0] if word[0].lower() in lower_words else "\0", question)
    return re.sub("\0(?: \0)*", "N", masked)


def _context(question: str) -> str:
    """Return the question without its options and its last sentence; the whole question if that is all."""
    story = question.partition("\nWhich choice is true?")[0].strip()
    sentences = re.split(r"(?<=[.!?])\s+", story)
    return " ".join(sentences[:-1]) or question


def _bare(question: str) -> str:
    return re.sub(r"[\W_]+", " ", question.lower()).strip()

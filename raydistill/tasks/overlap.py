"""How much of the test questions a student has already seen: what a test accuracy must be read with."""

from __future__ import annotations

import re
from collections import defaultdict

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


def leakage(questions: pa.Table) -> pa.Table:
    """Count, per task and test split, the test questions that occur in the train split in one form or another.

    Args:
        questions: schema `tables.QUESTIONS`.

    Returns:
        One row per task and test split, schema `LEAKAGE`.
    """
    rows = questions.select(["task", "split", "question"]).to_pylist()
    lower_words: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        lower_words[row["task"]] |= set(re.findall(r"\b[a-z]\w*", row["question"]))
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    train_of: dict[str, set[str]] = defaultdict(set)
    forms = []
    for row in rows:
        question, task = row["question"], row["task"]
        digits = _mask_digits(question)
        masked = {
            "exact": question,
            "masked_digits": digits,
            "template": _mask_names(digits, lower_words[task]),
            "context": _context(question),
        }
        forms.append((masked, _bare(question)))
        if row["split"] == "train":
            for form, text in masked.items():
                seen[task, form].add(text)
            train_of[forms[-1][1]].add(task)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row, (masked, bare) in zip(rows, forms, strict=True):
        task, split = row["task"], row["split"]
        if split == "train":
            continue
        count = counts.setdefault((task, split), dict.fromkeys(LEAKAGE.names[2:], 0))
        count["n"] += 1
        for form, text in masked.items():
            count[form] += text in seen[task, form]
        count["other_task"] += bool(train_of.get(bare, set()) - {task})
    return pa.Table.from_pylist([{"task": t, "split": s, **c} for (t, s), c in counts.items()], schema=LEAKAGE)


def _mask_digits(question: str) -> str:
    return re.sub(r"\d+", "0", question)


def _mask_names(question: str, lower_words: set[str]) -> str:
    """Mask each run of capitalised words that the task's questions never write in lower case."""
    masked = re.sub(r"\b[A-Z]\w*", lambda word: word[0] if word[0].lower() in lower_words else "\0", question)
    return re.sub("\0(?: \0)*", "N", masked)


def _context(question: str) -> str:
    """The question without its options and its last sentence; the whole question if that is all."""
    story = question.partition("\nWhich choice is true?")[0].strip()
    sentences = re.split(r"(?<=[.!?])\s+", story)
    return " ".join(sentences[:-1]) or question


def _bare(question: str) -> str:
    return re.sub(r"[\W_]+", " ", question.lower()).strip()

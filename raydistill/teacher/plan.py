"""What the teacher is asked: one row for each question, method and degree of reasoning (method.md: section 5 variants).

zero_shot   greedy over all splits (exemplars are chosen from it, and fine_tune_cot trains on it);
            D samples over train where fine_tune_cot wants D > 1
few_shot    for `few_shot_unfiltered` and `new_fine_tune_cot`: greedy over all splits, or D samples over train
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydistill.config import Settings
from raydistill.exemplars.select import leave_one_out
from raydistill.method import prompts
from raydistill.tables import QUESTIONS

ASKS = pa.schema(
    [
        *QUESTIONS,
        ("method", pa.string()),
        ("degree", pa.int32()),
        ("prompt", pa.string()),
        ("max_tokens", pa.int32()),
        ("temperature", pa.float64()),
        ("adaptive", pa.bool_()),  # one call where the rationale holds the answer; else always a second call
    ]
)


def few_shot_methods(settings: Settings) -> list[str]:
    """The methods of this run that ask with exemplars."""
    return [m for m in ("few_shot_unfiltered", "new_fine_tune_cot") if m in settings.students.methods]


def needs_teacher(settings: Settings) -> bool:
    """False where students learn from gold answers alone."""
    return any(m != "vanilla" for m in settings.students.methods)


def zero_shot(questions: pa.Table, settings: Settings) -> pa.Table:
    """Rows (ASKS) of the zero-shot stage; both calls are always made, as in Ho et al. 2023."""
    degrees = {1} if few_shot_methods(settings) and not settings.exemplars.file else set()  # to choose exemplars from
    if "fine_tune_cot" in settings.students.methods:
        degrees |= {1, *settings.students.degrees}
    rows = [
        _ask(row, "fine_tune_cot", degree, prompts.zero_shot(row["question"]), False, settings)
        for degree in sorted(degrees)
        for row in questions.to_pylist()
        if degree == 1 or row["split"] == "train"
    ]
    return pa.Table.from_pylist(rows, schema=ASKS)


def few_shot(questions: pa.Table, exemplars: pa.Table, settings: Settings) -> pa.Table:
    """Rows (ASKS) of the few-shot stage: the exemplar block first, the same for all questions of a task.

    A question that is itself an exemplar is asked without that exemplar.
    """
    rows = []
    for method in few_shot_methods(settings):
        chosen = [e for e in exemplars.to_pylist() if e["method"] == method]
        for row in questions.to_pylist():
            own = leave_one_out([e for e in chosen if e["task"] == row["task"]], row["question_id"], row["question"])
            prompt = prompts.few_shot(prompts.exemplar_block(own), row["question"])
            adaptive = method == "new_fine_tune_cot"
            rows += [
                _ask(row, method, degree, prompt, adaptive, settings)
                for degree in sorted(set(settings.students.degrees))
                if degree == 1 or row["split"] == "train"
            ]
    return pa.Table.from_pylist(rows, schema=ASKS)


def _ask(
    question: dict[str, Any], method: str, degree: int, prompt: str, adaptive: bool, settings: Settings
) -> dict[str, Any]:
    teacher = settings.teacher
    return question | {
        "method": method,
        "degree": degree,
        "prompt": prompt,
        "max_tokens": teacher.zero_shot_max_tokens if method == "fine_tune_cot" else teacher.few_shot_max_tokens,
        "temperature": teacher.temperature if degree > 1 else 0.0,
        "adaptive": adaptive,
    }

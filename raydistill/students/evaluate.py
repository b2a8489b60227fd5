"""Asking a student a task's questions and judging its answers: used after every epoch and by `predict`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydistill.config import StudentSettings
from raydistill.method import answers, prompts
from raydistill.method.methods import UNTRAINED
from raydistill.students import text
from raydistill.students.generate import Completion, generate
from raydistill.students.models import Student

ANSWERS = pa.schema(
    [
        ("question_id", pa.string()),
        ("completion", pa.string()),
        ("prediction", pa.string()),
        ("correct", pa.bool_()),
        ("published_prediction", pa.string()),
        ("published_correct", pa.bool_()),
        ("has_answer_marker", pa.bool_()),
        ("stopped_at_eos", pa.bool_()),
        ("tokens", pa.int64()),
        ("confidence", pa.float64()),
    ]
)

TRIGGER_TOKENS = 32  # more than the words that ask for the answer need

_JUDGES: tuple[tuple[str, answers.ExtractionRules], ...] = (("", "robust"), ("published_", "published"))


def ask(
    student: Student,
    questions: pa.Table,
    method: str,
    settings: StudentSettings,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """ANSWERS of `student` (trained by `method`, or one of UNTRAINED) to QUESTIONS, one row each, in their order."""
    rows = questions.to_pylist()
    how: dict[str, Any] = {"batch_size": settings.generation_batch_size, "temperature": temperature, "seed": seed}
    if method == "untrained_cot":
        written = _step_by_step(student, rows, settings, how)
    else:
        asks = [text.prompt(r["question"], seq2seq=student.seq2seq, trained=method not in UNTRAINED) for r in rows]
        limit = settings.max_new_tokens if text.mark_of(method) else _answer_limit(settings)
        completions = generate(student, asks, max_new_tokens=limit, max_input_tokens=settings.max_input_tokens, **how)
        written = [(completion, completion.text) for completion in completions]
    out = []
    for row, (completion, answer_text) in zip(rows, written, strict=True):
        kind, gold, task = row["answer_type"], row["answer"], row["task"]
        judged = {"question_id": row["question_id"], "completion": completion.text}
        for name, rules in _JUDGES:
            prediction, judged["has_answer_marker"] = answers.student_answer(
                answer_text,
                answer_type=kind,
                choices=row["choices"],
                rules=rules,
                task=task,
                answer_marker=text.mark_of(method),
            )
            judged[f"{name}prediction"] = prediction
            judged[f"{name}correct"] = answers.is_correct(prediction, gold, answer_type=kind, rules=rules, task=task)
        judged |= {
            "stopped_at_eos": completion.complete,
            "tokens": completion.tokens,
            "confidence": completion.confidence,
        }
        out.append(judged)
    return pa.Table.from_pylist(out, schema=ANSWERS)


def _step_by_step(
    student: Student, rows: list[dict[str, Any]], settings: StudentSettings, how: dict[str, Any]
) -> list[tuple[Completion, str]]:
    """Zero-shot-CoT (Kojima et al. 2022): the reasoning, then a second call for the answer, which alone is judged.

    The second call asks in the task's own words ("the answer (Yes or No) is"): after the words that serve all
    tasks SmolLM2-135M named no option in 38 of 60 coin flips, after these in 24.
    """
    questions = [row["question"].strip() for row in rows]
    first = [prompts.zero_shot(question) for question in questions]
    room = settings.max_input_tokens
    thoughts = generate(student, first, max_new_tokens=settings.max_new_tokens, max_input_tokens=room, **how)
    second = [
        prompts.answer_call(q, thought.text, task=row["task"], trigger="per_dataset", choices=row["choices"] or ())
        for q, thought, row in zip(questions, thoughts, rows, strict=True)
    ]
    room += settings.max_new_tokens + TRIGGER_TOKENS
    given = generate(student, second, max_new_tokens=_answer_limit(settings), max_input_tokens=room, **how)
    written = []
    for asked, asked_again, thought, answer in zip(first, second, thoughts, given, strict=True):
        tokens = thought.tokens + answer.tokens
        sure = thought.tokens * thought.confidence + answer.tokens * answer.confidence
        whole = asked_again.removeprefix(asked) + answer.text
        ended = thought.complete and answer.complete
        written.append((Completion(whole, tokens, ended, sure / tokens if tokens else 0.0), answer.text))
    return written


def _answer_limit(settings: StudentSettings) -> int:
    return min(settings.max_new_tokens, settings.answer_max_new_tokens)

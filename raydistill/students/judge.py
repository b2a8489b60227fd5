"""Asking a student a task's questions and judging its answers: used after every epoch and by `predict`."""

from __future__ import annotations

import pyarrow as pa

from raydistill import answers
from raydistill.config import StudentSettings
from raydistill.students import text
from raydistill.students.generate import generate
from raydistill.students.models import Student

ANSWERS = pa.schema(
    [
        ("question_id", pa.string()),
        ("completion", pa.string()),
        ("prediction", pa.string()),
        ("correct", pa.bool_()),
        ("baseline_prediction", pa.string()),
        ("baseline_correct", pa.bool_()),
        ("formatted", pa.bool_()),
        ("complete", pa.bool_()),
        ("tokens", pa.int64()),
        ("confidence", pa.float64()),
    ]
)


_JUDGES: tuple[tuple[str, answers.Judge], ...] = (("", "robust"), ("baseline_", "baseline"))


def ask(
    student: Student,
    questions: pa.Table,
    method: str,
    settings: StudentSettings,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """ANSWERS of `student` (trained by `method`, or "untrained") to QUESTIONS, one row each, in their order."""
    rows = questions.to_pylist()
    prompts = [text.prompt(r["question"], seq2seq=student.seq2seq, trained=method != "untrained") for r in rows]
    thinks = text.mark_of(method) != ""
    completions = generate(
        student,
        prompts,
        max_new_tokens=settings.max_new_tokens if thinks else min(settings.max_new_tokens, settings.answer_tokens),
        max_input_tokens=settings.max_input_tokens,
        batch_size=settings.generation_batch,
        temperature=temperature,
        seed=seed,
    )
    out = []
    for row, completion in zip(rows, completions, strict=True):
        kind, gold, task = row["answer_type"], row["answer"], row["task"]
        judged = {"question_id": row["question_id"], "completion": completion.text}
        for name, rules in _JUDGES:
            prediction, judged["formatted"] = answers.student_answer(
                completion.text,
                answer_type=kind,
                choices=row["choices"],
                judge=rules,
                task=task,
                mark=text.mark_of(method),
            )
            judged[f"{name}prediction"] = prediction
            judged[f"{name}correct"] = answers.is_correct(prediction, gold, answer_type=kind, judge=rules, task=task)
        judged |= {
            "complete": completion.complete,
            "tokens": completion.tokens,
            "confidence": completion.confidence,
        }
        out.append(judged)
    return pa.Table.from_pylist(out, schema=ANSWERS)

"""What the teacher is asked: one row for each question, method and degree of reasoning (method.md: section 5 variants).

zero_shot   for the methods whose prompt has no exemplars: greedy over all splits, and D samples over train if D > 1;
            exemplars are chosen from the greedy ones of fine_tune_cot
few_shot    for the methods whose prompt has exemplars: greedy over all splits, or D samples over train
"""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa

from raydistill.config import Settings, TeacherSettings
from raydistill.exemplars.select import leave_one_out
from raydistill.method import prompts
from raydistill.method.methods import METHODS, ZERO_SHOT, Method, few_shot
from raydistill.tables import PROMPTS, QUESTIONS, Row, rows
from raydistill.teacher.prompt_row import PromptRow


def asks_teacher(settings: Settings) -> bool:
    """Return False if all students learn from gold answers alone."""
    return any(METHODS[name].asks_teacher for name in settings.students.methods)


def few_shot_methods(settings: Settings) -> list[Method]:
    """Return the methods of this run whose prompt has exemplars."""
    return few_shot(settings.students.methods)


def zero_shot_prompts(questions: pa.Table, settings: Settings) -> pa.Table:
    """Return the PROMPTS of the zero-shot stage: those of this run's zero-shot methods, and of what exemplars need.

    Methods with the same prompt share its completions: the journal's key does not know the method.
    """
    plan = []
    for method in METHODS.values():
        for degree in _zero_shot_degrees(method, settings):
            for question in rows(questions):
                if _is_asked(question, degree):
                    prompt = prompts.zero_shot(question["question"])
                    plan.append(_row(question, method, degree, prompt, settings.teacher))
    return _table(plan)


def _zero_shot_degrees(method: Method, settings: Settings) -> list[int]:
    """Return the degrees at which the zero-shot stage asks for `method`; [] if it has no need of it."""
    degrees: set[int] = set()
    if method == ZERO_SHOT and few_shot_methods(settings) and not settings.exemplars.file:
        degrees.add(1)  # exemplars are chosen from the greedy samples
    if method.prompt == "zero_shot" and method.name in settings.students.methods:
        degrees.update({1, *settings.students.degrees})
    return sorted(degrees)


def few_shot_prompts(questions: pa.Table, exemplars: pa.Table, settings: Settings) -> pa.Table:
    """Return the PROMPTS of the few-shot stage: the exemplars first, the same for all questions of a task.

    A question that is itself an exemplar is asked without that exemplar.

    Args:
        questions: QUESTIONS.
        exemplars: EXEMPLARS; of these, columns task, method, question_id, question, rationale and answer are read.
        settings: of the run.
    """
    exemplars_of: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for exemplar in rows(exemplars):
        exemplars_of[exemplar["method"], exemplar["task"]].append(exemplar)
    degrees = sorted(set(settings.students.degrees))
    plan = []
    for method in few_shot_methods(settings):
        for question in rows(questions):
            chosen = exemplars_of[method.name, question["task"]]
            others = leave_one_out(chosen, question["question_id"], question["question"])
            prompt = prompts.few_shot(prompts.exemplar_block(others), question["question"])
            for degree in degrees:
                if _is_asked(question, degree):
                    plan.append(_row(question, method, degree, prompt, settings.teacher))
    return _table(plan)


def _is_asked(question: Row, degree: int) -> bool:
    """Return True if a question is asked at this degree: several samples are drawn for training alone."""
    return degree == 1 or question["split"] == "train"


def _row(question: Row, method: Method, degree: int, prompt: str, settings: TeacherSettings) -> PromptRow:
    columns = {name: question[name] for name in QUESTIONS.names}
    is_zero_shot = method.prompt == "zero_shot"
    return PromptRow(
        **columns,
        method=method.name,
        degree=degree,
        prompt=prompt,
        max_tokens=settings.zero_shot_max_tokens if is_zero_shot else settings.few_shot_max_tokens,
        temperature=settings.temperature if degree > 1 else 0.0,
        adaptive=method.answer_call == "if_missing",
    )


def _table(plan: list[PromptRow]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() for row in plan], schema=PROMPTS)

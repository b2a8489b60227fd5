"""Evaluating a student on a task's questions: used after every epoch and by `predict`."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

import pyarrow as pa

from raydistill.config import StudentSettings
from raydistill.method import answers, prompts
from raydistill.method.methods import METHODS, Method
from raydistill.students import templates
from raydistill.students.generate import Completion, generate
from raydistill.students.models import Student
from raydistill.tables import PREDICTIONS

TRIGGER_TOKENS = 32  # more than the words of the answer call need

_NOT_ANSWERED = ("trial", "task", "split")
ANSWERS = pa.schema([column for column in PREDICTIONS if column.name not in _NOT_ANSWERED])
"""What a student answers to a question: PREDICTIONS without the columns that say which student and which split."""


class _Question(NamedTuple):
    """A row of QUESTIONS."""

    task: str
    split: str
    question_id: str
    question: str
    answer: str
    answer_type: str
    choices: list[str]
    source_row: int


class _Answer(NamedTuple):
    """A row of ANSWERS."""

    question_id: str
    completion: str
    prediction: str | None
    correct: bool
    published_prediction: str | None
    published_correct: bool
    has_answer_marker: bool
    stopped_at_eos: bool
    tokens: int
    confidence: float


class _Response(NamedTuple):
    """What a student wrote to a question."""

    completion: Completion
    answer_text: str
    """The part of it that the answer is read from."""


class _Generate(Protocol):
    """`generate` for one student, batch size, temperature and seed."""

    def __call__(self, prompts: list[str], *, max_new_tokens: int, max_input_tokens: int) -> list[Completion]: ...


def evaluate(
    student: Student,
    questions: pa.Table,
    method: str,
    settings: StudentSettings,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """Return the ANSWERS of `student` to QUESTIONS, one row each, in their order.

    Args:
        student: answers.
        questions: QUESTIONS.
        method: what the student was trained by, or one of UNTRAINED.
        settings: limits and batch size.
        temperature: of sampling; 0: greedy.
        seed: of sampling.
    """
    typed_questions = [_Question(**row) for row in questions.to_pylist()]
    generate_batch = partial(
        generate, student, batch_size=settings.generation_batch_size, temperature=temperature, seed=seed
    )
    record = METHODS[method]
    if not record.is_trained and record.answer_call == "always":
        responses = _answer_step_by_step(generate_batch, typed_questions, settings)
    else:
        responses = _answer_directly(generate_batch, typed_questions, record, settings, seq2seq=student.seq2seq)
    marker = templates.answer_marker(method)
    answered = []
    for question, response in zip(typed_questions, responses, strict=True):
        answered.append(_answer(question, response, marker)._asdict())
    return pa.Table.from_pylist(answered, schema=ANSWERS)


def _answer(question: _Question, response: _Response, marker: str) -> _Answer:
    """Return a row of ANSWERS: the answer is read by both extraction rules and compared with the gold answer."""
    prediction, correct = _read_answer(question, response, marker, "robust")
    published_prediction, published_correct = _read_answer(question, response, marker, "published")
    completion = response.completion
    return _Answer(
        question_id=question.question_id,
        completion=completion.text,
        prediction=prediction,
        correct=correct,
        published_prediction=published_prediction,
        published_correct=published_correct,
        has_answer_marker=marker in response.answer_text,
        stopped_at_eos=completion.stopped_at_eos,
        tokens=completion.tokens,
        confidence=completion.confidence,
    )


def _read_answer(
    question: _Question, response: _Response, marker: str, rules: answers.ExtractionRules
) -> tuple[str | None, bool]:
    """Return the answer that `rules` read, and whether it is right by the same rules."""
    prediction, _ = answers.student_answer(
        response.answer_text,
        answer_type=question.answer_type,
        choices=question.choices,
        rules=rules,
        task=question.task,
        answer_marker=marker,
    )
    is_correct = answers.is_correct(
        prediction, question.answer, answer_type=question.answer_type, rules=rules, task=question.task
    )
    return prediction, is_correct


def _answer_directly(
    generate_batch: _Generate, questions: list[_Question], method: Method, settings: StudentSettings, *, seq2seq: bool
) -> list[_Response]:
    """Return what the student writes after the prompt that it was trained on (or its zero-shot baseline)."""
    first_prompts = [
        templates.prompt(question.question, seq2seq=seq2seq, trained=method.is_trained) for question in questions
    ]
    limit = settings.max_new_tokens if method.target == "rationale" else _answer_limit(settings)
    completions = generate_batch(first_prompts, max_new_tokens=limit, max_input_tokens=settings.max_input_tokens)
    return [_Response(completion, completion.text) for completion in completions]


def _answer_step_by_step(
    generate_batch: _Generate, questions: list[_Question], settings: StudentSettings
) -> list[_Response]:
    """Return what the student writes by zero-shot-CoT (Kojima et al. 2022): a rationale, then an answer call.

    The answer is read from the answer call alone. It uses the task's own words ("the answer (Yes or No) is"): after the
    words that serve all tasks SmolLM2-135M named no option in 38 of 60 coin flips, after these in 24.
    """
    rationale_prompts = [prompts.zero_shot(question.question.strip()) for question in questions]
    limit = settings.max_input_tokens
    rationales = generate_batch(rationale_prompts, max_new_tokens=settings.max_new_tokens, max_input_tokens=limit)
    answer_prompts = []
    for question, rationale in zip(questions, rationales, strict=True):
        answer_prompt = prompts.answer_call(
            question.question.strip(),
            rationale.text,
            task=question.task,
            trigger="per_dataset",
            choices=question.choices or (),
        )
        answer_prompts.append(answer_prompt)
    limit += settings.max_new_tokens + TRIGGER_TOKENS
    final_answers = generate_batch(answer_prompts, max_new_tokens=_answer_limit(settings), max_input_tokens=limit)
    responses = []
    for index, answer in enumerate(final_answers):
        written = answer_prompts[index].removeprefix(rationale_prompts[index])
        whole = _joined(rationales[index], answer, written + answer.text)
        responses.append(_Response(whole, answer.text))
    return responses


def _joined(rationale: Completion, answer: Completion, text: str) -> Completion:
    """Return rationale and answer as one completion with this text."""
    tokens = rationale.tokens + answer.tokens
    probability_sum = rationale.tokens * rationale.confidence + answer.tokens * answer.confidence
    return Completion(
        text=text,
        tokens=tokens,
        stopped_at_eos=rationale.stopped_at_eos and answer.stopped_at_eos,
        confidence=probability_sum / tokens if tokens else 0.0,
    )


def _answer_limit(settings: StudentSettings) -> int:
    """Return the token limit of an answer without a rationale."""
    return min(settings.max_new_tokens, settings.answer_max_new_tokens)

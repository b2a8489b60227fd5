"""How untrained students are asked: at once, and step by step with a second call for the answer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from support.students import answer, coins, library_completion, settings, tables, talkative_student, train

from raydistill.method import answers
from raydistill.students import evaluate
from raydistill.students.models import Student
from raydistill.tables import QUESTIONS

TRIGGER = "\nTherefore, the answer (Yes or No) is"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def student(request: pytest.FixtureRequest, tiny_gpt2: Path, tiny_t5: Path) -> Student:
    return talkative_student({"gpt2": tiny_gpt2, "t5": tiny_t5}[request.param])


def library_text(student: Student, prompt: str, limit: int) -> str:
    """The library's greedy answer to one prompt, as text."""
    return str(student.tokenizer.decode(library_completion(student, prompt, limit), skip_special_tokens=True))


def space(thought: str) -> str:
    return " " if thought and not thought[0].isspace() else ""


def test_step_by_step_is_two_calls_and_the_second_alone_is_judged(student: Student, tmp_path: Path) -> None:
    questions = pa.Table.from_pylist(coins(6), schema=QUESTIONS)
    config = settings(tmp_path, "x", max_new_tokens=10, answer_max_new_tokens=6, generation_batch_size=4).students
    rows = evaluate.evaluate(student, questions, "untrained_cot", config).to_pylist()
    for question, row in zip(coins(6), rows, strict=True):
        asked = f"Q: {question['question']}\nA: Let's think step by step."
        thought = library_text(student, asked, 10)
        given = library_text(student, f"{asked}{space(thought)}{thought}{TRIGGER}", 6)
        assert row["completion"] == f"{space(thought)}{thought}{TRIGGER}{given}"
        assert row["prediction"] == answers.extract(given, answer_type="yes_no", task="coin_flip")
        assert row["correct"] == (row["prediction"] == question["answer"])
        assert 0 < row["tokens"] <= 16
        assert 0 <= row["confidence"] <= 1


def test_both_ways_of_asking_an_untrained_student_are_rows_of_their_own(tmp_path: Path, tiny_t5: Path) -> None:
    questions, training = tables()
    config = settings(
        tmp_path, tiny_t5, methods=["vanilla"], num_train_epochs=1, evaluate_untrained=True, evaluate_untrained_cot=True
    )
    rows, _ = train(config, questions, training)
    assert [r["method"] for r in rows] == ["untrained", "untrained_cot", "vanilla"]
    assert len({r["trial"] for r in rows}) == 3
    predictions, _ = answer(config, questions, rows)
    completions: dict[str, list[str]] = {r["trial"]: [] for r in rows}
    for row in predictions.to_pylist():
        completions[row["trial"]].append(row["completion"])
    at_once, step_by_step, _ = completions.values()
    assert len(at_once) == len(step_by_step) == 8
    assert all(TRIGGER in text for text in step_by_step)
    assert not any(TRIGGER in text for text in at_once)

    again, _ = train(settings(tmp_path, tiny_t5, methods=["vanilla"], num_train_epochs=1), questions, training)
    assert [r["trial"] for r in again] == [rows[2]["trial"]]  # baselines change no trained student's name

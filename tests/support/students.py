"""Small tables and settings for tests of students, and the stages that take them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from raydistill.config import Settings
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import grid, models, predict
from raydistill.tables import PREDICTIONS, QUESTIONS, STUDENTS, TRAINING

NAMES = ["Anna", "Ben", "Cleo", "Dan", "Eve", "Finn"]

Row = dict[str, Any]


def coins(n: int = 24, task: str = "coin_flip") -> list[Row]:
    """Rows of QUESTIONS: two flips of a coin; the first two thirds are train questions."""
    rows = []
    for i in range(n):
        flips = [(NAMES[(i + k) % 6], (i >> k) % 2 == 1) for k in range(2)]
        story = " ".join(f"{name} {'flips' if flip else 'does not flip'} the coin." for name, flip in flips)
        row: Row = {
            "task": task,
            "split": "train" if i < 2 * n // 3 else "test",
            "question_id": f"{task}-{i:02}",
            "question": f"A coin is heads up. {story} Is the coin still heads up?",
            "answer": "no" if flips[0][1] != flips[1][1] else "yes",
            "answer_type": "yes_no",
            "choices": [],
            "source_row": i,
        }
        rows.append(row)
    return rows


def tables(
    tasks: Sequence[str] = ("coin_flip",),
    methods: Sequence[str] = ("vanilla", "new_fine_tune_cot"),
    degrees: Sequence[int] = (1,),
) -> tuple[pa.Table, pa.Table]:
    """QUESTIONS of `coins`, and TRAINING with a kept row for each train question, method, degree and sample."""
    questions = [row for task in tasks for row in coins(task=task)]
    training = []
    for method in methods:
        for degree in [1] if method == "vanilla" else degrees:
            for question in questions:
                if question["split"] == "train":
                    training += [_text(question, method, degree, sample) for sample in range(degree)]
    return pa.Table.from_pylist(questions, schema=QUESTIONS), pa.Table.from_pylist(training, schema=TRAINING)


def _text(question: Row, method: str, degree: int, sample: int) -> Row:
    return {
        "task": question["task"],
        "method": method,
        "degree": degree,
        "question_id": question["question_id"],
        "sample_index": sample,
        "question": question["question"],
        "rationale": "" if method == "vanilla" else f"After {sample} it is {question['answer']}.",
        "answer": question["answer"],
        "kept": True,
        "reason": "",
        "reason_detail": "",
    }


def settings(run: Path, *students: Path | str, local: bool = True, **options: Any) -> Settings:
    """Settings of short trainings; `options` are settings of the students."""
    defaults = {
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "max_new_tokens": 12,
        "evaluate_untrained": False,
        "checkpoint_interval_s": 0,
    }
    chosen = defaults | {"models": [str(student) for student in students]} | options
    return Settings(run_dir=str(run), local=local, students=chosen)


def train(config: Settings, questions: pa.Table, training: pa.Table) -> tuple[list[Row], str]:
    """Rows of STUDENTS, and what a person saw."""
    shown = io.StringIO()
    table = grid.train(questions, training, config, Store(config.run_path), Progress(shown))
    assert table.schema.equals(STUDENTS)
    return table.to_pylist(), shown.getvalue()


def answer(config: Settings, questions: pa.Table, students: list[Row]) -> tuple[pa.Table, str]:
    """PREDICTIONS, and what a person saw."""
    shown = io.StringIO()
    table = pa.Table.from_pylist(students, schema=STUDENTS)
    predictions = predict.predict(questions, table, config, Store(config.run_path), Progress(shown))
    assert predictions.schema.equals(PREDICTIONS)
    return predictions, shown.getvalue()


def talkative_student(folder: Path) -> models.Student:
    """A tiny model with weights wide enough to write various texts, some of which end soon."""
    student = models.open_student(str(folder))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in student.model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.6 if "wte" in name or "shared" in name else 0.3)
        head = student.model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.clone())
        head.weight[student.tokenizer.eos_token_id] *= 3
    student.model.eval()
    return student


def library_completion(student: models.Student, prompt: str, limit: int) -> list[int]:
    """The library's greedy answer to one prompt, as token ids."""
    ids = student.tokenizer(prompt, return_tensors="pt").input_ids
    out = student.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=limit,
        do_sample=False,
        pad_token_id=student.tokenizer.pad_token_id,
    )
    return out[0, 1:].tolist() if student.seq2seq else out[0, ids.shape[1] :].tolist()

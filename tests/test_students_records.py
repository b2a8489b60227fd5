"""Records have the fields of the tables they are rows of, and the card says what they say."""

from __future__ import annotations

import contextlib
import io
from dataclasses import fields
from pathlib import Path

import pyarrow.compute as pc
import pytest
from huggingface_hub import ModelCard
from support.students import answer, settings, tables, train

from raydistill import tables as schemas
from raydistill.config import TeacherSettings
from raydistill.runtime.store import Store
from raydistill.students import card
from raydistill.students.cascade_stage import CascadeRow
from raydistill.students.records import Epoch, StudentRow, student_rows, student_table

pytestmark = pytest.mark.usefixtures("one_thread")


def test_records_have_the_fields_of_their_tables() -> None:
    assert [field.name for field in fields(StudentRow)] == schemas.STUDENTS.names
    assert [field.name for field in fields(Epoch)] == [field.name for field in schemas.EPOCH]
    assert list(CascadeRow._fields) == schemas.CASCADE.names


def test_students_come_back_from_their_table() -> None:
    epochs = [Epoch(1, train_loss=0.5), Epoch(2, 0.25, 0.75, 0.5, 1.0)]
    students = [
        StudentRow("a" * 16, "svamp", "vanilla", 1, "t5-small", 0, epochs=epochs, steps=7, checkpoint="run/model"),
        StudentRow("b" * 16, "svamp", "untrained", 0, "t5-small", 0, error="no such model", epochs=[]),
    ]
    table = student_table(students)
    assert table.schema.equals(schemas.STUDENTS)
    assert student_rows(table) == students


def test_a_card_is_valid_shows_the_results_and_its_example_runs(
    tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a decoder and an encoder-decoder, each from a folder whose place the card keeps to itself."""
    questions, training = tables(methods=("new_fine_tune_cot",))
    config = settings(tmp_path, tiny_gpt2, tiny_t5, methods=["new_fine_tune_cot"], max_steps=2, max_new_tokens=256)
    rows, _ = train(config, questions, training)
    predictions, _ = answer(config, questions, rows)
    for row in rows:
        own = predictions.filter(pc.field("trial") == row["trial"])
        folder = Path(row["checkpoint"])
        text = Path(folder, "README.md").read_text()
        assert str(tmp_path) not in text
        assert str(tiny_gpt2.parent) not in text
        model_card = ModelCard.load(folder / "README.md")
        assert model_card.data.base_model is None
        assert model_card.data.library_name == "transformers"
        assert "raydistill" in model_card.data.tags
        values = {result.metric_name: result.metric_value for result in model_card.data.eval_results}
        assert values["Accuracy"] == pytest.approx(pc.mean(own["correct"].cast("float64")).as_py(), abs=1e-4)
        assert [result.dataset_split for result in model_card.data.eval_results] == ["test", "test"]
        assert f"# {Path(row['student']).name} taught coin_flip" in model_card.text

        code = text.split("```python\n")[1].split("```")[0]
        monkeypatch.chdir(folder)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {})
        first = questions.filter(pc.field("split") == "test")["question_id"][0].as_py()
        (completion,) = own.filter(pc.field("question_id") == first)["completion"].to_pylist()
        assert printed.getvalue() == f"{completion}\n"


@pytest.mark.parametrize(
    ("student", "base_model"),
    [
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("google/flan-t5-small", "google/flan-t5-small"),
        ("/home/somebody/secret/t5", None),
        ("s3://bucket/secret/t5", None),
    ],
)
def test_a_card_names_the_base_model_of_the_hub_and_no_place(
    tmp_path: Path, student: str, base_model: str | None
) -> None:
    store = Store(str(tmp_path))
    row = StudentRow("a" * 16, "svamp", "fine_tune_cot", 1, student, 0)
    store.write_text(f"{row.folder}/config.json", "{}")
    teacher = TeacherSettings.model_validate({"kind": "local", "local": {"gguf": "/home/somebody/secret/teacher.gguf"}})
    questions = schemas.QUESTIONS.empty_table()
    card.write(row, questions, schemas.PREDICTIONS.empty_table(), teacher, store)
    model_card = ModelCard.load(tmp_path / row.folder / "README.md")
    assert model_card.data.base_model == base_model
    assert "secret" not in str(model_card)
    assert "teacher.gguf" in model_card.text

"""The model card in a student's folder: what it is, what it was taught, how to prompt it, how well it answers.

The text is in `model_card.md`; the metadata on top of it is what the Hugging Face hub shows: base model and results.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import TeacherSettings
from raydistill.method.methods import METHODS
from raydistill.runtime.formatting import percent
from raydistill.runtime.store import Store
from raydistill.students import templates
from raydistill.students.models import EMBEDDED
from raydistill.students.records import StudentRow

EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
TAGS = ["raydistill", "distillation", "chain-of-thought"]


class SplitScore(NamedTuple):
    """How well a student answers the questions of one split."""

    split: str
    n: int
    accuracy: float
    """0 … 1, by the robust extraction rules, as the other fractions."""
    published_accuracy: float
    answer_marker_rate: float | None
    """None for students that write the answer alone: they have no marker to write."""
    eos_rate: float


def write(
    student: StudentRow, questions: pa.Table, predictions: pa.Table, teacher: TeacherSettings, store: Store
) -> None:
    """Put README.md into the folder of a student that this run trained; others have none.

    Args:
        student: row of STUDENTS.
        questions: QUESTIONS that it answered; the first one is the card's example.
        predictions: its PREDICTIONS on them.
        teacher: whose rationales it learned from.
        store: the run directory.
    """
    config = store.read_text(f"{student.folder}/config.json")
    if not METHODS[student.method].is_trained or config is None:
        return
    seq2seq = bool(json.loads(config).get("is_encoder_decoder", False))
    source = "no teacher: the answers of the data"
    if METHODS[student.method].asks_teacher:
        source = f"teacher: {_teacher_name(teacher)}{_cost(student.task, store, teacher)}"
    question = "{question}"
    if questions.num_rows:
        question = questions["question"][0].as_py()
    scores = split_scores(student, predictions)
    store.write_text(f"{student.folder}/README.md", _card(student, question, scores, source, seq2seq=seq2seq))


def split_scores(student: StudentRow, predictions: pa.Table) -> list[SplitScore]:
    """Return how well a student answers, for each split of its PREDICTIONS."""
    has_marker = templates.answer_marker(student.method) != ""
    scores = []
    for split in sorted(set(predictions["split"].to_pylist())):
        part = predictions.filter(pc.field("split") == split)
        score = SplitScore(
            split=split,
            n=part.num_rows,
            accuracy=_mean(part, "correct"),
            published_accuracy=_mean(part, "published_correct"),
            answer_marker_rate=_mean(part, "has_answer_marker") if has_marker else None,
            eos_rate=_mean(part, "stopped_at_eos"),
        )
        scores.append(score)
    return scores


def _card(student: StudentRow, question: str, scores: list[SplitScore], source: str, *, seq2seq: bool) -> str:
    """Return the card's text."""
    from huggingface_hub import ModelCard, ModelCardData

    # A folder's place is nobody's business: only its own name is shown.
    name = Path(student.student).name if _base_model(student.student) is None else student.student
    pipeline_tag = "text2text-generation" if seq2seq else "text-generation"
    marker = templates.answer_marker(student.method)
    card_data = ModelCardData(
        base_model=_base_model(student.student),
        library_name="transformers",
        pipeline_tag=pipeline_tag,
        tags=TAGS,
        model_name=f"{name} taught {student.task} ({student.method})",
        eval_results=_eval_results(student, scores, pipeline_tag) or None,
    )
    card = ModelCard.from_template(
        card_data,
        template_str=Path(__file__).with_name("model_card.md").read_text("utf-8"),
        name=name,
        student=student,
        source=source,
        has_marker=marker != "",
        marker=marker,
        model_class="AutoModelForSeq2SeqLM" if seq2seq else "AutoModelForCausalLM",
        seq2seq=seq2seq,
        prompt=repr(templates.prompt(question, seq2seq=seq2seq)),
        scores=scores,
        percent=percent,
        chosen_on_test=json.loads(student.settings).get("checkpoint_selection") == "best_on_test",
    )
    return card.content


def _eval_results(student: StudentRow, scores: list[SplitScore], task_type: str) -> list:
    """Return the accuracies as the hub takes them (`EvalResult`)."""
    from huggingface_hub import EvalResult

    results = []
    for score in scores:
        metrics = {
            "Accuracy": score.accuracy,
            "Accuracy by the answer extraction of Ho et al. 2023": score.published_accuracy,
        }
        for metric_name, value in metrics.items():
            result = EvalResult(
                task_type=task_type,
                dataset_type=student.task,
                dataset_name=student.task,
                dataset_split=score.split,
                metric_type="accuracy",
                metric_name=metric_name,
                metric_value=round(value, 4),
            )
            results.append(result)
    return results


def _base_model(name: str) -> str | None:
    """Return the hub id of the student's base model; None if it is a folder, on this machine or behind a URI."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if name == EMBEDDED:
        return EMBEDDED_HUB_ID
    if Path(name).expanduser().is_dir():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def _teacher_name(teacher: TeacherSettings) -> str:
    if teacher.kind == "api":
        return f"{teacher.model} at {teacher.base_url}"
    if teacher.kind == "local":
        return Path(teacher.local.gguf).name if teacher.local.gguf else "SmolLM2-135M-Instruct"
    return "the simulated teacher (a program, no model)"


def _cost(task: str, store: Store, teacher: TeacherSettings) -> str:
    """Return the calls of the task for all of its students, and what a paid teacher took for them, if that is known."""
    if store.manifest("ledger") is None:
        return ""
    ledger = store.read("ledger").filter(pc.field("task") == task)
    calls = pc.sum(ledger["calls"]).as_py()
    if not calls:
        return ""
    text = f", {calls:,} calls on the whole task"
    if teacher.kind != "api":
        return text
    if ledger["usd"].null_count:
        return f"{text}, price unknown"
    return f"{text}, ${pc.sum(ledger['usd']).as_py():,.4f}"


def _mean(table: pa.Table, column: str) -> float:
    """Return the fraction of rows whose `column` is true."""
    return pc.mean(table[column].cast(pa.float64())).as_py()

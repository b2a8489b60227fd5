"""When students consult the teacher: confidences on validation and test questions, curves, and the threshold to use.

The teacher's answers are those of the run's zero_shot and few_shot tables: nothing is asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings
from raydistill.method import answers
from raydistill.runtime.errors import SettingsError
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import cascade, grid, predict
from raydistill.tables import CASCADE, PREDICTIONS


class Answered(NamedTuple):
    split: str
    question_id: str
    confidence: float
    correct: bool


def check(samples: pa.Table, settings: Settings) -> None:
    """Before Ray is started: is there somebody to pass questions on to, and something to choose a threshold by?

    Raises:
        SettingsError: the teacher was asked nothing, or the students were trained without a validation part.
    """
    if not samples.num_rows:
        raise SettingsError(
            "A cascade passes questions on to the teacher, but this run's teacher was asked none.",
            "Add new_fine_tune_cot (or another method with a teacher) to students.methods and run the pipeline again.",
        )
    if not settings.students.validation_fraction:
        raise SettingsError(
            "A cascade chooses its threshold on questions that were kept out of training, and there are none.",
            "Set students.validation_fraction (0.1, say) and run the pipeline again.",
        )


def consult(
    questions: pa.Table,
    training: pa.Table,
    students: pa.Table,
    predictions: pa.Table,
    samples: pa.Table,
    settings: Settings,
    store: Store,
    progress: Progress,
) -> pa.Table:
    """CASCADE of every trained student: a curve for each confidence and split, with the chosen threshold marked.

    Args:
        samples: SAMPLES of the teacher, zero-shot and few-shot together.

    Raises:
        SettingsError: see `check`; or no student was trained with these settings.
    """
    check(samples, settings)
    trials = {t.trial: t for t in grid.plan(questions, training, settings, store)[0]}
    trained = [s for s in students.to_pylist() if s["trial"] in trials and not s["error"]]
    if not trained:
        raise SettingsError(
            f"No student in {store.path} was trained with these settings.",
            "Give the settings that the pipeline ran with (settings.yaml there), or run the pipeline again.",
        )
    tests = questions.filter(pc.is_in(questions["split"], pa.array(predict.TEST_SPLITS)))
    held_out = [(s, trials[s["trial"]].validation) for s in trained]
    rows: list[dict[str, Any]] = []
    votes = settings.cascade.votes
    total = sum(t.num_rows for _, t in held_out)
    with progress.stage("cascade", total=total) as stage:
        sure: dict[str, list[Answered]] = defaultdict(list)
        for part in predict.answers(held_out, settings):
            sure[part["trial"][0].as_py()] += _sure(part, "validation")
            stage.update(stage.done + part.num_rows)
        for student in trained:
            sure[student["trial"]] += _sure(predictions.filter(pc.field("trial") == student["trial"]), None)
            rows += _curves(student, "probability", sure[student["trial"]], samples, settings)
        if votes:
            everything = [(s, pa.concat_tables([v, tests.filter(pc.field("task") == s["task"])])) for s, v in held_out]
            stage.update(0, total=votes * sum(t.num_rows for _, t in everything))
            drawn: dict[str, list[pa.Table]] = defaultdict(list)
            for part in predict.answers(everything, settings, samples=range(votes)):
                drawn[part["trial"][0].as_py()].append(part)
                stage.update(stage.done + part.num_rows)
            for student in trained:
                mine = [PREDICTIONS.empty_table(), *drawn[student["trial"]]]  # nothing of one that cannot be opened
                rows += _curves(student, "votes", list(_agreed(pa.concat_tables(mine), questions)), samples, settings)
        stage.finish(f"{len(trained)} students")
    return pa.Table.from_pylist(rows, schema=CASCADE)


def _sure(predictions: pa.Table, split: str | None) -> list[Answered]:
    return [
        Answered(split or p["split"], p["question_id"], p["confidence"], p["correct"]) for p in predictions.to_pylist()
    ]


def _agreed(drawn: pa.Table, questions: pa.Table) -> Iterable[Answered]:
    """The vote on each question of one student's sampled answers."""
    asked = {q["question_id"]: q for q in questions.to_pylist()}
    by_question: dict[str, list[str | None]] = defaultdict(list)
    for row in drawn.to_pylist():
        by_question[row["question_id"]].append(row["prediction"])
    for question_id, predictions in by_question.items():
        question = asked[question_id]
        answer, share = cascade.vote(predictions)
        right = answers.is_correct(
            answer, question["answer"], answer_type=question["answer_type"], task=question["task"]
        )
        split = "validation" if question["split"] == "train" else question["split"]
        yield Answered(split, question_id, share, right)


def _curves(
    student: dict[str, Any], confidence: str, answered: list[Answered], samples: pa.Table, settings: Settings
) -> list[dict[str, Any]]:
    teacher = _teacher(samples, student["task"], student["method"])
    drawn = {}
    for split in dict.fromkeys(a.split for a in answered):
        # Questions that the teacher's run left without an answer cannot be passed on.
        known = [a for a in answered if a.split == split and a.question_id in teacher]
        drawn[split] = (
            [a.confidence for a in known],
            [a.correct for a in known],
            [teacher[a.question_id] for a in known],
        )
    curves = {split: cascade.curve(*rows) for split, rows in drawn.items()}
    goal = settings.cascade
    share = goal.teacher_fraction if goal.accuracy is None else None
    chosen = None
    if curves.get("validation"):
        chosen = cascade.choose(curves["validation"], teacher_fraction=share, accuracy=goal.accuracy)
    rows = []
    for split, points in curves.items():
        marked = [(p, False) for p in points]
        if chosen is not None and points:
            marked.append((cascade.at(chosen, *drawn[split]), True))
        rows += [
            {name: student[name] for name in ("trial", "task", "student", "method")}
            | {"confidence": confidence, "split": split, "chosen": mark}
            | point._asdict()
            for point, mark in marked
        ]
    return rows


def _teacher(samples: pa.Table, task: str, method: str) -> dict[str, bool]:
    """Whether the teacher's greedy answer is right (by the robust judge, as the student's), by question: of the
    student's own method where there is one.
    """
    greedy = samples.filter((pc.field("task") == task) & (pc.field("degree") == 1) & (pc.field("error") == ""))
    methods = set(greedy["method"].to_pylist())
    best = next((m for m in (method, "new_fine_tune_cot", "few_shot_unfiltered", "fine_tune_cot") if m in methods), "")
    mine = greedy.filter(pc.field("method") == best)
    return dict(zip(mine["question_id"].to_pylist(), mine["robust_correct"].to_pylist(), strict=True))

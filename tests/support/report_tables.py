"""A run's tables made up for tests of the report: shaped and sized like a real run's, no model behind them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from raydistill import tables
from raydistill.method.methods import METHODS, ZERO_SHOT

STUDENT_SKILL = {
    "untrained": 0.02,
    "vanilla": 0.49,
    "fine_tune_cot": 0.82,
    "few_shot_unfiltered": 0.9,
    "new_fine_tune_cot": 0.96,
}
"""How often a student is right, in report order."""
TEACHER_SKILL = {"fine_tune_cot": 0.75, "few_shot_unfiltered": 0.88, "new_fine_tune_cot": 0.95}
NAMES = ["Ana", "Bo", "Chen", "Dov", "Eva", "Femi", "Gus", "Hana"]
CLUSTERS = 8

Row = dict[str, Any]


def make(
    tasks: tuple[str, ...] = ("coin_flip",),
    methods: tuple[str, ...] = ("vanilla", "new_fine_tune_cot"),
    students: tuple[str, ...] = ("smollm2-135m",),
    degrees: tuple[int, ...] = (1,),
    seeds: tuple[int, ...] = (0,),
    *,
    splits: tuple[tuple[str, int], ...] = (("train", 120), ("test", 60), ("test_unseen", 40)),
    untrained: bool = True,
    epochs: int = 6,
    question: str = "A coin is heads up. {a} flips the coin. {b} does not flip the coin. Is the coin still heads up?",
    failed: tuple[str, ...] = (),
    seed: int = 1,
) -> dict[str, pa.Table]:
    """The tables of a run by name; `failed` names methods whose trials fail."""
    draw = random.Random(seed)
    few_shot_methods = [method for method in methods if method in METHODS and METHODS[method].prompt == "few_shot"]
    questions = _questions(tasks, splits, question, draw)
    zero = [_sample(q, ZERO_SHOT.name, 1, 0, draw) for q in questions]
    few = _few_shot(questions, few_shot_methods, degrees, draw)
    clusters = _clusters(questions, draw) if few else []
    exemplars = _exemplars(questions, tasks, few_shot_methods, draw) if few else []
    training = _training(questions, [*zero, *few], methods)
    trials = []
    predictions = []
    for trial in _trials(tasks, students, methods, degrees, seeds, untrained, epochs, failed, draw):
        trials.append(trial)
        if not trial["error"]:
            for q in questions:
                if q["task"] == trial["task"] and q["split"] != "train":
                    predictions.append(_prediction(q, trial, draw))
    rows: dict[str, tuple[list[Row], pa.Schema]] = {
        "questions": (questions, tables.QUESTIONS),
        "zero_shot": (zero, tables.SAMPLES),
        "few_shot": (few, tables.SAMPLES),
        "exemplars": (exemplars, tables.EXEMPLARS),
        "clusters": (clusters, tables.CLUSTERS),
        "training": (training, tables.TRAINING),
        "students": (trials, tables.STUDENTS),
        "predictions": (predictions, tables.PREDICTIONS),
        "ledger": (_ledger(tasks, has_few_shot=bool(few)), tables.LEDGER),
    }
    return {name: pa.Table.from_pylist(of_table, schema=schema) for name, (of_table, schema) in rows.items()}


def _questions(
    tasks: Iterable[str], splits: Iterable[tuple[str, int]], question: str, draw: random.Random
) -> list[Row]:
    rows = []
    for task in tasks:
        for split, count in splits:
            for i in range(count):
                rows.append(
                    {
                        "task": task,
                        "split": split,
                        "question_id": hashlib.sha256(f"{task}{split}{i}".encode()).hexdigest()[:16],
                        "question": question.format(a=draw.choice(NAMES), b=draw.choice(NAMES)),
                        "answer": draw.choice(["yes", "no"]),
                        "answer_type": "yes_no",
                        "choices": [],
                        "source_row": i,
                    }
                )
    return rows


def _few_shot(questions: list[Row], methods: Iterable[str], degrees: Iterable[int], draw: random.Random) -> list[Row]:
    rows = []
    for method in methods:
        for degree in degrees:
            for q in questions:
                if degree == 1 or q["split"] == "train":
                    rows += [_sample(q, method, degree, i, draw) for i in range(degree)]
    return rows


def _clusters(questions: list[Row], draw: random.Random) -> list[Row]:
    rows = []
    for q in questions:
        if q["split"] == "train":
            cluster = draw.randrange(CLUSTERS)
            angle = cluster * 2 * math.pi / CLUSTERS
            rows.append(
                {
                    "task": q["task"],
                    "question_id": q["question_id"],
                    "cluster": cluster,
                    "distance": abs(draw.gauss(0, 0.2)),
                    "x": math.cos(angle) + draw.gauss(0, 0.2),
                    "y": math.sin(angle) + draw.gauss(0, 0.2),
                }
            )
    return rows


def _exemplars(questions: list[Row], tasks: Iterable[str], methods: Iterable[str], draw: random.Random) -> list[Row]:
    rows = []
    for method in methods:
        for task in tasks:
            train = [q for q in questions if (q["task"], q["split"]) == (task, "train")]
            rows += [_exemplar(q, method, cluster, draw) for cluster, q in enumerate(train[:CLUSTERS])]
    return rows


def _training(questions: list[Row], samples: list[Row], methods: tuple[str, ...]) -> list[Row]:
    rows = []
    if "vanilla" in methods:
        rows += [_candidate(q, "vanilla", 1, None) for q in questions if q["split"] == "train"]
    by_id = {q["question_id"]: q for q in questions}
    for sample in samples:
        if sample["split"] == "train" and sample["method"] in methods:
            rows.append(_candidate(by_id[sample["question_id"]], sample["method"], sample["degree"], sample))
    return rows


def _trials(
    tasks: Iterable[str],
    students: Iterable[str],
    methods: tuple[str, ...],
    degrees: tuple[int, ...],
    seeds: Iterable[int],
    untrained: bool,
    epochs: int,
    failed: tuple[str, ...],
    draw: random.Random,
) -> Iterator[Row]:
    present = [name for name in STUDENT_SKILL if name in methods or (name == "untrained" and untrained)]
    for task, student, method in itertools.product(tasks, students, present):
        own_degrees = degrees if METHODS[method].asks_teacher else (1,)
        for degree, seed in itertools.product(own_degrees, seeds):
            yield _trial(task, student, method, degree, seed, epochs, method in failed, draw)


def _ledger(tasks: Iterable[str], has_few_shot: bool) -> list[Row]:
    requests = [("zero_shot", "rationale", 220), ("zero_shot", "answer", 220)]
    if has_few_shot:
        requests += [("few_shot", "rationale", 220), ("few_shot", "answer", 11)]
    rows = []
    for task in tasks:
        for stage, kind, calls in requests:
            rows.append(
                {
                    "stage": stage,
                    "task": task,
                    "kind": kind,
                    "calls": calls,
                    "attempts": calls + 3,
                    "reused": 5,
                    "prompt_tokens": calls * (900 if stage == "few_shot" else 90),
                    "cached_tokens": 0,
                    "completion_tokens": calls * 70,
                    "usd": calls * 1e-3,
                }
            )
    return rows


def _other(answer: str) -> str:
    return "no" if answer == "yes" else "yes"


def _steps(q: Row) -> str:
    start = "The coin starts heads up. One person flips it, so it is tails up now."
    return f"{start} Then it stays as it is. ({q['source_row']})"


def _sample(q: Row, method: str, degree: int, index: int, draw: random.Random) -> Row:
    right = draw.random() < TEACHER_SKILL[method]
    answered = draw.random() < 0.97
    lost = draw.random() < 0.01
    prediction = None
    answered_by = "none"
    if answered and not lost:
        prediction = q["answer"] if right else _other(q["answer"])
        answered_by = "rationale" if METHODS[method].answer_call == "if_missing" else "answer_call"
    return {
        **{name: q[name] for name in ("question_id", "task", "split")},
        "method": method,
        "degree": degree,
        "sample_index": index,
        "rationale": "" if lost else _steps(q),
        "answer_text": f" {prediction}." if prediction else "",
        "prediction": prediction,
        "correct": prediction == q["answer"],
        "robust_prediction": prediction,
        "robust_correct": prediction == q["answer"],
        "published_prediction": prediction if draw.random() < 0.97 else None,
        "published_correct": prediction == q["answer"] and draw.random() < 0.97,
        "answered_by": answered_by,
        "finish_reason": "length" if draw.random() < 0.03 else "stop",
        "calls": 2,
        "attempts": 2,
        "prompt_tokens": 90,
        "cached_tokens": 0,
        "completion_tokens": 70,
        "cost_usd": None,
        "teacher": "raydistill-simulated",
        "request_key": "",
        "error_kind": "transient" if lost else "",
        "error": "500 after 8 attempts" if lost else "",
    }


def _exemplar(q: Row, method: str, cluster: int, draw: random.Random) -> Row:
    rank = draw.choice([0, 0, 0, 1, 3])
    over = [
        {
            "question_id": f"{i:016x}",
            "rank": i,
            "distance": 0.1 * i,
            "condition": draw.choice(["correct", "lines"]),
            "reason": "not chosen",
        }
        for i in range(rank)
    ]
    return {
        **{name: q[name] for name in ("task", "question_id", "question", "answer")},
        "method": method,
        "cluster": cluster,
        "cluster_size": draw.randrange(9, 22),
        "rank": rank,
        "relaxation_level": 2 if cluster == 3 else 1,
        "distance": 0.2 + 0.1 * rank,
        "rationale": _steps(q),
        "passed_over": over,
    }


def _candidate(q: Row, method: str, degree: int, sample: Row | None) -> Row:
    reason = ""
    if sample:
        reason = "" if sample["correct"] else "wrong_answer"
        if sample["prediction"] is None:
            reason = "no_answer"
        if sample["error"]:
            reason = "failed"
    return {
        **{name: q[name] for name in ("task", "question_id", "question", "answer")},
        "method": method,
        "degree": degree,
        "sample_index": sample["sample_index"] if sample else 0,
        "rationale": sample["rationale"] if sample else "",
        "kept": not reason,
        "reason": reason,
        "reason_detail": "",
    }


def _trial(
    task: str, student: str, method: str, degree: int, seed: int, epochs: int, failed: bool, draw: random.Random
) -> Row:
    curve = [
        {
            "epoch": e,
            "train_loss": 1.6 * 0.55**e + draw.random() * 0.03,
            "validation_loss": 1.5 * 0.6**e + 0.1,
            "validation_accuracy": None,
            "test_accuracy": min(1, STUDENT_SKILL[method] * (1 - 0.5**e)),
        }
        for e in range(1, epochs + 1)
    ]
    return {
        "trial": hashlib.sha256(f"{task}{student}{method}{degree}{seed}".encode()).hexdigest()[:12],
        "task": task,
        "method": method,
        "degree": degree,
        "student": student,
        "seed": seed,
        "settings": json.dumps({"learning_rate": 1e-4}),
        "train_rows": 0 if method == "untrained" else 110 * degree,
        "steps": 0 if method == "untrained" else 84,
        "train_seconds": 0.0 if method == "untrained" else 61.5,
        "train_tokens": 0 if method == "untrained" else 16_000,
        "epochs": [] if method == "untrained" or failed else curve,
        "checkpoint": "" if method == "untrained" or failed else "runs/quickstart/checkpoints/0a1b2c3d4e5f",
        "error": "CUDA out of memory: tried to allocate 2.00 GiB" if failed else "",
    }


def _prediction(q: Row, trial: Row, draw: random.Random) -> Row:
    skill = STUDENT_SKILL[trial["method"]] - (0.1 if q["split"] == "test_unseen" else 0)
    right = draw.random() < skill
    silent = trial["method"] == "untrained" and not right
    prediction = None
    if not silent:
        prediction = q["answer"] if right else _other(q["answer"])
    text = f" --> {prediction}" if trial["method"] == "vanilla" else f"{_steps(q)} --> {prediction}"
    return {
        **{name: q[name] for name in ("task", "split", "question_id")},
        "trial": trial["trial"],
        "completion": "The coin is a coin.\n" * 3 if silent else text,
        "prediction": prediction,
        "correct": right,
        "published_prediction": prediction,
        "published_correct": right,
        "has_answer_marker": not silent,
        "stopped_at_eos": not silent,
        "tokens": 60 if silent else 35,
        "confidence": 0.9,
    }

"""A run's tables made up for tests of the report: shaped and sized like a real run's, no model behind them."""

from __future__ import annotations

import hashlib
import json
import math
import random
from typing import Any

import pyarrow as pa

from raydistill import tables

LADDER = ["untrained", "vanilla", "fine_tune_cot", "few_shot_unfiltered", "new_fine_tune_cot"]
STUDENT_SKILL = {
    "untrained": 0.02,
    "vanilla": 0.49,
    "fine_tune_cot": 0.82,
    "few_shot_unfiltered": 0.9,
    "new_fine_tune_cot": 0.96,
}
TEACHER_SKILL = {"fine_tune_cot": 0.75, "few_shot_unfiltered": 0.88, "new_fine_tune_cot": 0.95}


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
    """The ten tables by name; `failed` names methods whose trials fail."""
    draw = random.Random(seed)
    names = ["Ana", "Bo", "Chen", "Dov", "Eva", "Femi", "Gus", "Hana"]
    questions = [
        {
            "task": task,
            "split": split,
            "question_id": hashlib.sha256(f"{task}{split}{i}".encode()).hexdigest()[:16],
            "question": question.format(a=draw.choice(names), b=draw.choice(names)),
            "answer": draw.choice(["yes", "no"]),
            "answer_type": "yes_no",
            "choices": [],
            "source_row": i,
        }
        for task in tasks
        for split, count in splits
        for i in range(count)
    ]
    zero = [_sample(q, "fine_tune_cot", 1, 0, draw) for q in questions]
    few = [
        _sample(q, method, degree, i, draw)
        for method in methods
        if method in ("few_shot_unfiltered", "new_fine_tune_cot")
        for degree in degrees
        for q in questions
        if degree == 1 or q["split"] == "train"
        for i in range(degree)
    ]
    clusters, exemplars = [], []
    if few:
        for q in questions:
            if q["split"] == "train":
                k = draw.randrange(8)
                angle = k * math.pi / 4
                clusters.append(
                    {
                        **{name: q[name] for name in ("task", "question_id")},
                        "cluster": k,
                        "distance": abs(draw.gauss(0, 0.2)),
                        "x": math.cos(angle) + draw.gauss(0, 0.2),
                        "y": math.sin(angle) + draw.gauss(0, 0.2),
                    }
                )
        exemplars = [
            _exemplar(q, method, k, draw)
            for method in methods
            if method in ("few_shot_unfiltered", "new_fine_tune_cot")
            for task in tasks
            for k, q in enumerate([q for q in questions if (q["task"], q["split"]) == (task, "train")][:8])
        ]
    training = [_candidate(q, "vanilla", 1, None) for q in questions if q["split"] == "train" and "vanilla" in methods]
    by_id = {q["question_id"]: q for q in questions}
    training += [
        _candidate(by_id[s["question_id"]], s["method"], s["degree"], s)
        for s in zero + few
        if s["split"] == "train" and s["method"] in methods
    ]
    trials, predictions = [], []
    wanted = [m for m in LADDER if m in methods or (m == "untrained" and untrained)]
    for task in tasks:
        for student in students:
            for method in wanted:
                for degree in degrees if method not in ("untrained", "vanilla") else (1,):
                    for trial_seed in seeds:
                        trial = _trial(task, student, method, degree, trial_seed, epochs, method in failed, draw)
                        trials.append(trial)
                        if not trial["error"]:
                            mine = [q for q in questions if q["task"] == task and q["split"] != "train"]
                            predictions += [_prediction(q, trial, draw) for q in mine]
    ledger = [
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
        for task in tasks
        for stage, kind, calls in [("zero_shot", "rationale", 220), ("zero_shot", "answer", 220)]
        + ([("few_shot", "rationale", 220), ("few_shot", "answer", 11)] if few else [])
    ]
    rows: dict[str, tuple[list[dict[str, Any]], pa.Schema]] = {
        "questions": (questions, tables.QUESTIONS),
        "zero_shot": (zero, tables.SAMPLES),
        "few_shot": (few, tables.SAMPLES),
        "exemplars": (exemplars, tables.EXEMPLARS),
        "clusters": (clusters, tables.CLUSTERS),
        "training": (training, tables.TRAINING),
        "students": (trials, tables.STUDENTS),
        "predictions": (predictions, tables.PREDICTIONS),
        "ledger": (ledger, tables.LEDGER),
    }
    return {name: pa.Table.from_pylist(given, schema=schema) for name, (given, schema) in rows.items()}


def _other(answer: str) -> str:
    return "no" if answer == "yes" else "yes"


def _steps(q: dict[str, Any]) -> str:
    start = "The coin starts heads up. One person flips it, so it is tails up now."
    return f"{start} Then it stays as it is. ({q['source_row']})"


def _sample(q: dict[str, Any], method: str, degree: int, index: int, draw: random.Random) -> dict[str, Any]:
    right = draw.random() < TEACHER_SKILL[method]
    answered = draw.random() < 0.97
    lost = draw.random() < 0.01
    prediction = (q["answer"] if right else _other(q["answer"])) if answered and not lost else None
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
        "answered_by": "none"
        if prediction is None
        else "second_call"
        if method != "new_fine_tune_cot"
        else "rationale",
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


def _exemplar(q: dict[str, Any], method: str, cluster: int, draw: random.Random) -> dict[str, Any]:
    rank = draw.choice([0, 0, 0, 1, 3])
    over = [
        {
            "question_id": f"{i:016x}",
            "rank": i,
            "distance": 0.1 * i,
            "reason": draw.choice(["wrong answer", "more than 5 lines"]),
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


def _candidate(q: dict[str, Any], method: str, degree: int, sample: dict[str, Any] | None) -> dict[str, Any]:
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
) -> dict[str, Any]:
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


def _prediction(q: dict[str, Any], trial: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    skill = STUDENT_SKILL[trial["method"]] - (0.1 if q["split"] == "test_unseen" else 0)
    right = draw.random() < skill
    silent = trial["method"] == "untrained" and not right
    prediction = None if silent else q["answer"] if right else _other(q["answer"])
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

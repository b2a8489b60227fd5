"""Does checking steps help a student? The same teacher, its right answers with and without the check.

python benchmarks/step_checks.py [--task coin_flip] [--lucky 0.8] [--habit] [--questions 870] [--test 100] [--judge]

The teacher is the simulated one, with many lucky rationales: right answers on wrong steps, which an answer filter lets
through. Wrong at random, they average out: the right step stays the likeliest one, and a greedy student learns it.
Wrong by habit (`--habit`), as a weak teacher's are, they are what a student learns. Students (SmolLM2-135M, the same
settings and seeds) learn from

    steps checked              the right answers whose steps hold (curation.check_steps)
    right answers, as many     a random choice of the right answers, as many rows as steps checked has
    right answers, all         all of them, for one epoch: more rows, and more training
    LLM judge                  those that the teacher as LLM judge approves (--judge; curation.llm_judge), as many

and answer the same test questions. `sound` is the fraction of a student's own rationales whose steps hold. The interval
is Wilson's, 95 %. The last line is JSON: {"kept", "right", "accuracy_checked", "accuracy_unchecked", …}.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from typing import Any, NamedTuple

import pyarrow as pa
from step_check_arms import (
    CHECKED,
    JUDGED,
    METHOD,
    UNCHECKED,
    UNCHECKED_ALL,
    answer_options,
    load_questions,
    teach,
    training_tables,
)

from raydistill.config import Settings, SimulatedSettings
from raydistill.method import steps
from raydistill.report.intervals import wilson
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import grid, predict

JSON_KEYS = {CHECKED: "checked", UNCHECKED: "unchecked", UNCHECKED_ALL: "unchecked_all", JUDGED: "judged"}


class ArmResult(NamedTuple):
    """What the students of one arm learned from, and how they did; summed over the seeds."""

    rows: int
    lucky_fraction: float
    n: int
    correct: int
    sound: int
    seconds: float


def main() -> None:
    """Train and test the students of every arm."""
    args = _parse_arguments()
    teacher = SimulatedSettings(few_shot_accuracy=args.accuracy, lucky_fraction=args.lucky, lucky_habit=args.habit)
    questions = load_questions(args.task, args.questions, args.test)
    arms = training_tables(questions, teach(questions, teacher), teacher, judge=args.judge)
    mistakes = "by habit" if args.habit else "at random"
    print(
        f"{args.task}, lucky fraction {args.lucky} {mistakes}: "
        f"students on {args.test} test questions, seeds {args.seeds}"
    )
    print(f"{'trained on':<26}{'rows':>6}{'lucky':>7}{'accuracy':>10}{'95 %':>15}{'sound':>8}{'seconds':>9}")
    results: dict[str, ArmResult] = {}
    for name, training in arms.items():
        if args.arms and not name.startswith(tuple(args.arms)):
            continue
        epochs = 1 if name == UNCHECKED_ALL else args.epochs
        results[name] = learn(questions, training, epochs, args.seeds)
        show(name, results[name], seeds=len(args.seeds))
    summary: dict[str, Any] = {"kept": arms[CHECKED].num_rows, "right": arms[UNCHECKED_ALL].num_rows}
    for name, result in results.items():
        summary[f"accuracy_{JSON_KEYS[name]}"] = round(result.correct / result.n, 3)
        summary[f"sound_{JSON_KEYS[name]}"] = round(result.sound / result.n, 3)
    summary |= {"n": args.test * len(args.seeds), "lucky_fraction": args.lucky, "habit": args.habit}
    print(json.dumps(summary))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--task", default="coin_flip")
    parser.add_argument("--lucky", type=float, default=0.8, help="fraction of right answers that rest on wrong steps")
    parser.add_argument("--habit", action="store_true", help="wrong steps are always wrong in the same way")
    parser.add_argument("--accuracy", type=float, default=0.95, help="fraction of right answers")
    parser.add_argument("--questions", type=int, default=870, help="train questions")
    parser.add_argument("--test", type=int, default=100, help="test questions")
    parser.add_argument("--epochs", type=int, default=2, help="over the rows of every arm but `all`, which has one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--judge", action="store_true", help="also what the teacher approves as LLM judge")
    parser.add_argument("--arms", nargs="*", help="just these arms, by the first words of their names")
    return parser.parse_args()


def show(name: str, result: ArmResult, seeds: int) -> None:
    """Print an arm's line."""
    # Seeds answer the same questions: they make no interval narrower.
    low, high = wilson(result.correct / seeds, result.n // seeds)
    interval = f"{low:.0%} to {high:.0%}"
    print(
        f"{name:<26}{result.rows:>6}{result.lucky_fraction:>7.0%}{result.correct / result.n:>10.1%}"
        f"{interval:>15}{result.sound / result.n:>8.0%}{result.seconds:>9.0f}",
        flush=True,
    )


def is_unsound(question: dict[str, Any], rationale: str, prediction: str | None) -> bool:
    """Whether a step of a rationale does not hold."""
    fault = steps.check(rationale, question=question["question"], prediction=prediction, **answer_options(question))
    return bool(fault)


def learn(questions: pa.Table, training: pa.Table, epochs: int, seeds: list[int]) -> ArmResult:
    """Train and evaluate a student of each seed."""
    question_by_id = {question["question_id"]: question for question in questions.to_pylist()}
    lucky = 0
    for row in training.to_pylist():
        lucky += is_unsound(question_by_id[row["question_id"]], row["rationale"], row["answer"])
    n = correct = sound = 0
    with tempfile.TemporaryDirectory() as folder:
        settings = student_settings(folder, epochs, seeds)
        store = Store(folder)
        progress = Progress(sys.stderr)
        students = grid.train(questions, training, settings, store, progress)
        errors = [error for error in students["error"].to_pylist() if error]
        if errors:
            raise SystemExit(errors[0])
        predictions = predict.predict(questions, students, settings, store, progress)
        for row in predictions.to_pylist():
            rationale = row["completion"].split("-->")[0]
            n += 1
            correct += row["correct"]
            sound += not is_unsound(question_by_id[row["question_id"]], rationale, row["prediction"])
        seconds = sum(students["train_seconds"].to_pylist())
    return ArmResult(training.num_rows, lucky / training.num_rows, n, correct, sound, seconds)


def student_settings(folder: str, epochs: int, seeds: list[int]) -> Settings:
    """Return the settings of one arm's students."""
    students = {
        "methods": [METHOD],
        "evaluate_untrained": False,
        "seeds": seeds,
        "num_train_epochs": epochs,
        "max_new_tokens": 160,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,
    }
    return Settings.model_validate({"run_dir": folder, "local": True, "students": students})


if __name__ == "__main__":
    main()

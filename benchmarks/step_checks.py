"""Does checking steps help a student? The same teacher, its right answers with and without the check.

python benchmarks/step_checks.py [--task coin_flip] [--lucky 0.8] [--habit] [--questions 870] [--test 100] [--judge]

The teacher is the simulated one, with many lucky rationales: right answers on wrong steps, which an answer filter lets
through. Wrong at random, they average out: the right step stays the likeliest one, and a greedy student learns it.
Wrong by habit (`--habit`), as a weak teacher's are, they are what a student learns. Students (SmolLM2-135M, the same
settings and seeds) learn from

    steps checked              the right answers whose steps hold (curation.check_steps)
    right answers, as many     a random choice of the right answers, as many rows as steps checked has
    right answers, all         all of them, for one epoch: more rows, and more training
    teacher's judgement        those that the teacher as judge says yes to (--judge; curation.llm_judge), as many

and answer the same test questions. `sound` is the share of a student's own rationales whose steps hold. The interval is
Wilson's, 95 %. The last line is JSON: {"kept", "right", "accuracy_checked", "accuracy_unchecked", …}.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tasks
from raydistill.config import CurationSettings, QuestionSettings, Settings, SimulatedSettings, StudentSettings
from raydistill.curation import llm_judge
from raydistill.curation.curate import KEY, curate
from raydistill.method import answers, prompts, steps
from raydistill.report.results import wilson
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.simulated.replies import GREEDY, reply
from raydistill.students import grid, predict
from raydistill.tables import SAMPLES

METHOD = "new_fine_tune_cot"
EXEMPLARS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--task", default="coin_flip")
    parser.add_argument("--lucky", type=float, default=0.8, help="share of right answers that rest on wrong steps")
    parser.add_argument("--habit", action="store_true", help="wrong steps are always wrong in the same way")
    parser.add_argument("--accuracy", type=float, default=0.95, help="share of right answers")
    parser.add_argument("--questions", type=int, default=870, help="train questions")
    parser.add_argument("--test", type=int, default=100, help="test questions")
    parser.add_argument("--epochs", type=int, default=2, help="over the rows of every arm but `all`, which has one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--judge", action="store_true", help="also the teacher's judgement")
    parser.add_argument("--arms", nargs="*", help="just these arms, by the first words of their names")
    args = parser.parse_args()
    teacher = SimulatedSettings(few_shot_accuracy=args.accuracy, lucky_fraction=args.lucky, lucky_habit=args.habit)
    size = round((args.questions + args.test) / 0.6)
    source = {"tasks": [args.task], "source": "generated", "generated_size": size}
    limits = {"limit_train": args.questions, "limit_test": args.test}
    questions = tasks.load_questions(QuestionSettings.model_validate(source | limits), seed=0)
    arms = training_tables(questions, taught(questions, teacher), teacher, judge=args.judge)
    rows: dict[str, dict[str, Any]] = {}
    how = "by habit" if args.habit else "at random"
    print(f"{args.task}, lucky share {args.lucky} {how}: students on {args.test} test questions, seeds {args.seeds}")
    print(f"{'trained on':<26}{'rows':>6}{'lucky':>7}{'accuracy':>10}{'95 %':>15}{'sound':>8}{'seconds':>9}")
    for name, training in arms.items():
        if args.arms and not any(name.startswith(arm) for arm in args.arms):
            continue
        epochs = 1 if name.endswith("all") else args.epochs
        rows[name] = found = learn(questions, training, epochs, args.seeds) | share_of_lucky(questions, training)
        # Seeds answer the same questions: they make no interval narrower.
        low, high = wilson(found["correct"] / len(args.seeds), found["n"] // len(args.seeds))
        print(
            f"{name:<26}{found['rows']:>6}{found['lucky']:>7.0%}{found['correct'] / found['n']:>10.1%}"
            f"{f'{low:.0%} to {high:.0%}':>15}{found['sound']:>8.0%}{found['seconds']:>9.0f}",
            flush=True,
        )
    keys = {"steps": "checked", "right answers, as": "unchecked", "right answers, all": "unchecked_all"}
    keys["teacher"] = "judged"
    named = {key: rows[name] for start, key in keys.items() for name in rows if name.startswith(start)}
    told: dict[str, Any] = {name: table.num_rows for name, table in zip(("kept", "right"), arms.values(), strict=False)}
    told["right"] = arms["right answers, all"].num_rows
    told |= {f"accuracy_{key}": round(row["correct"] / row["n"], 3) for key, row in named.items()}
    told |= {f"sound_{key}": round(row["sound"], 3) for key, row in named.items()}
    print(json.dumps(told | {"n": args.test * len(args.seeds), "lucky_fraction": args.lucky, "habit": args.habit}))


def taught(questions: pa.Table, teacher: SimulatedSettings) -> pa.Table:
    """SAMPLES: the teacher's few-shot rationale and answer to each train question but the exemplars (sound ones)."""
    blank = {field.name: "" if pa.types.is_string(field.type) else None for field in SAMPLES}
    train = questions.filter(pc.field("split") == "train").to_pylist()
    sure = SimulatedSettings(zero_shot_accuracy=1.0, lucky_fraction=0.0)
    shown = [
        question | {"rationale": answers.clean_rationale(reply(prompts.zero_shot(question["question"]), GREEDY, sure))}
        for question in train[:EXEMPLARS]
    ]
    block = prompts.exemplar_block(shown)
    rows = []
    for question in train[EXEMPLARS:]:
        kind = {"answer_type": question["answer_type"], "choices": question["choices"] or ()}
        rationale = reply(prompts.few_shot(block, question["question"]), GREEDY, teacher).split("\nQ:")[0]
        asked = prompts.answer_call(question["question"], rationale, task=question["task"])
        held = answers.find_in_rationale(rationale, **kind)
        prediction = held.answer if held else answers.extract(reply(asked, GREEDY, teacher), **kind)
        right = answers.is_correct(prediction, question["answer"], answer_type=kind["answer_type"])
        named = {name: question[name] for name in ("task", "split", "question_id")}
        named |= {"method": METHOD, "degree": 1, "sample_index": 0}
        rows.append(blank | named | {"rationale": rationale, "prediction": prediction, "correct": right})
    return pa.Table.from_pylist(rows, SAMPLES)


def training_tables(
    questions: pa.Table, samples: pa.Table, teacher: SimulatedSettings, *, judge: bool
) -> dict[str, pa.Table]:
    """The kept rows of TRAINING for each arm."""

    def kept(judgements: pa.Table | None = None, **settings: Any) -> pa.Table:
        how = CurationSettings(**settings)
        made = curate(questions, SAMPLES.empty_table(), samples, how, [METHOD], [1], judgements)
        return made.filter(made["kept"])

    checked, right = kept(check_steps=True), kept()
    arms = {"steps checked": checked, "right answers, as many": some(right, checked.num_rows)}
    arms["right answers, all"] = right
    if judge:
        settings = Settings(students=StudentSettings(methods=[METHOD]))
        asked = llm_judge.asks(questions, SAMPLES.empty_table(), samples, settings)
        replies = [reply(prompt, GREEDY, teacher) for prompt in asked["prompt"].to_pylist()]
        told = pa.table({**{n: asked[n] for n in KEY}, "verdict": [llm_judge.verdict(r) for r in replies]})
        told = told.append_column("reply", pa.array(replies, pa.string()))
        arms["teacher's judgement"] = some(kept(told, llm_judge_strict=True), checked.num_rows)
    return arms


def some(table: pa.Table, n: int) -> pa.Table:
    rows = sorted(Random(0).sample(range(table.num_rows), min(n, table.num_rows)))
    return table.take(pa.array(rows, pa.int64()))


def share_of_lucky(questions: pa.Table, training: pa.Table) -> dict[str, float]:
    """The share of training rows whose steps do not hold."""
    kinds = {q["question_id"]: q for q in questions.to_pylist()}
    lucky = [unsound(kinds[r["question_id"]], r["rationale"], r["answer"]) for r in training.to_pylist()]
    return {"lucky": sum(lucky) / len(lucky)}


def unsound(question: dict[str, Any], rationale: str, prediction: str | None) -> bool:
    kind = {"answer_type": question["answer_type"], "choices": question["choices"] or ()}
    return bool(steps.check(rationale, question=question["question"], prediction=prediction, **kind))


def learn(questions: pa.Table, training: pa.Table, epochs: int, seeds: list[int]) -> dict[str, Any]:
    """Train and judge a student of each seed; sums over seeds."""
    how = {
        "methods": [METHOD],
        "evaluate_untrained": False,
        "seeds": seeds,
        "num_train_epochs": epochs,
        "max_new_tokens": 160,
    }
    how |= {"learning_rate": 2e-4, "lr_scheduler_type": "linear", "warmup_steps": 0.1}
    kinds = {q["question_id"]: q for q in questions.to_pylist()}
    found: dict[str, Any] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"run_dir": folder, "local": True, "students": how})
        store, progress = Store(folder), Progress(sys.stderr)
        students = grid.train(questions, training, settings, store, progress)
        if errors := [s["error"] for s in students.to_pylist() if s["error"]]:
            raise SystemExit(errors[0])
        found["seconds"] = sum(students["train_seconds"].to_pylist())
        for row in predict.predict(questions, students, settings, store, progress).to_pylist():
            rationale = row["completion"].split("-->")[0]
            found["n"] += 1
            found["correct"] += row["correct"]
            found["sound"] += not unsound(kinds[row["question_id"]], rationale, row["prediction"])
    return {**found, "sound": found["sound"] / found["n"], "rows": training.num_rows}


if __name__ == "__main__":
    main()

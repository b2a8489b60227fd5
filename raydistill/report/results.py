"""The figures of a run: accuracies with intervals, paired tests, what became of the teacher's answers, spend.

Plain functions over the run's tables. Accuracies and shares are 0 … 1. An interval is Wilson's for 95 % (Wilson 1927,
J. Am. Stat. Assoc. 22:209); it speaks about the questions: neither seeds nor samples of one question make it narrower.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest

from raydistill import tables
from raydistill.method.methods import UNTRAINED
from raydistill.report import labels

Row = dict[str, Any]


def wilson(correct: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of `correct` (may be a mean over seeds) out of n > 0."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, scale = correct / n, 1 + z * z / n
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    centre = p + z * z / (2 * n)
    # The interval holds p; rounding must not say otherwise at 0 and 1.
    return min(p, max(0.0, (centre - half) / scale)), max(p, min(1.0, (centre + half) / scale))


def summarise(students: pa.Table, predictions: pa.Table, questions: pa.Table) -> pa.Table:
    """Judge every trial on every test split of its task.

    Args:
        students: tables.STUDENTS. predictions: tables.PREDICTIONS (train rows are left out here).
        questions: tables.QUESTIONS; its test questions say how many predictions a trial owes.

    Returns:
        tables.RESULTS, one row per trial and test split, by task, split, student, method, degree, seed. A failed
        trial keeps its rows, with null figures and its error; one that answered only some of its questions has the
        figures of those, and an error.
    """
    owed = Counter(zip(*_columns(questions, "task", "split"), strict=True))
    places = list(dict.fromkeys(questions["task"].to_pylist()))
    given: dict[tuple[str, str], list[Row]] = defaultdict(list)
    wanted = ["trial", "split", "correct", "published_correct", "has_answer_marker", "stopped_at_eos", "tokens"]
    for row in predictions.select(wanted).to_pylist():
        given[row["trial"], row["split"]].append(row)

    rows = []
    for student in students.to_pylist():
        splits = [s for s in ("test", "test_unseen") if owed[student["task"], s]]
        for split in splits or ["test"]:
            got, n = given[student["trial"], split], owed[student["task"], split]
            row = {
                name: student[name] for name in ("task", "method", "degree", "student", "seed", "trial", "train_rows")
            }
            row |= {"split": split, "n": len(got), "correct": sum(bool(r["correct"]) for r in got)}
            row["error"] = student["error"] or ("" if len(got) == n else f"{len(got)} of {n} questions were answered")
            if got:
                low, high = wilson(row["correct"], len(got))
                row |= {"accuracy": row["correct"] / len(got), "ci_low": low, "ci_high": high}
                row["published_accuracy"] = fmean(bool(r["published_correct"]) for r in got)
                row["answer_marker_rate"] = fmean(bool(r["has_answer_marker"]) for r in got)
                row["eos_rate"] = fmean(bool(r["stopped_at_eos"]) for r in got)
                row["mean_tokens"] = fmean(r["tokens"] or 0 for r in got)
            rows.append(row)
    rows.sort(key=lambda r: (labels.order(r["task"], places), labels.order(r["split"], labels.SPLITS)))
    names = list(dict.fromkeys(students["student"].to_pylist()))
    by_task = groupby(rows, key=lambda r: (r["task"], r["split"]))
    ordered = [row for _, group in by_task for row in sorted(group, key=lambda r: _trial_order(r, names))]
    return pa.Table.from_pylist(ordered, schema=tables.RESULTS)


def over_seeds(results: pa.Table) -> list[Row]:
    """RESULTS rows with the seeds of a (task, split, student, method, degree) made one: means over its finished trials.

    Adds `seeds` (finished) and `lowest`, `highest` accuracy; the interval is Wilson's at the mean for n questions.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in results.to_pylist():
        groups.setdefault(tuple(row[c] for c in ("task", "split", "student", "method", "degree")), []).append(row)
    merged = []
    for rows in groups.values():
        done = [r for r in rows if r["accuracy"] is not None]
        row = dict((done or rows)[0], seeds=len(done), lowest=None, highest=None)
        row["error"] = "; ".join(dict.fromkeys(r["error"] for r in rows if r["error"]))
        if done:
            figures = ("accuracy", "published_accuracy", "answer_marker_rate", "eos_rate", "mean_tokens")
            row |= {name: fmean(r[name] for r in done) for name in figures}
            row["lowest"], row["highest"] = min(r["accuracy"] for r in done), max(r["accuracy"] for r in done)
            row["ci_low"], row["ci_high"] = wilson(row["accuracy"] * row["n"], row["n"])
        merged.append(row)
    return merged


class Paired(NamedTuple):
    """Two trials on the same questions, and the two-sided p-value of the exact McNemar test."""

    n: int
    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float

    @property
    def difference(self) -> float:
        """Accuracy of the first minus that of the second."""
        return (self.only_first - self.only_second) / self.n if self.n else 0.0


def compare(first: dict[str, bool], second: dict[str, bool]) -> Paired:
    """Exact McNemar test (McNemar 1947) of two {question_id: correct} on the questions that both answered."""
    cells = Counter((first[q], second[q]) for q in first.keys() & second.keys())
    only_first, only_second = cells[True, False], cells[False, True]
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0
    return Paired(cells.total(), cells[True, True], only_first, only_second, cells[False, False], p_value)


def comparisons(results: pa.Table, predictions: pa.Table) -> list[Row]:
    """Each student's best-informed training against its other trainings, question by question.

    Per (task, split, student, seed): the last method of `labels.METHODS` that the run has is compared, at every degree,
    with the other methods of that degree, and with vanilla and the untrained student, which have no degree.
    """
    right: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for row in predictions.select(["trial", "split", "question_id", "correct"]).to_pylist():
        right[row["trial"], row["split"]][row["question_id"]] = bool(row["correct"])
    rows: list[Row] = []
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in results.to_pylist():
        if row["accuracy"] is not None:
            groups.setdefault(tuple(row[c] for c in ("task", "split", "student", "seed")), []).append(row)
    for group in groups.values():
        best = best_informed(group)["method"]
        for first in (r for r in group if r["method"] == best):
            for second in group:
                same = second["degree"] == first["degree"] or second["method"] in (*UNTRAINED, "vanilla")
                if second["method"] != best and same:
                    pair = compare(*(right[r["trial"], r["split"]] for r in (first, second)))
                    rows.append({"first": first, "second": second, "pair": pair})
    return rows


class Guess(NamedTuple):
    """Accuracies (0 … 1) of two ways to answer without reading the question."""

    chance: float
    """Each option as often as the others."""
    majority: float | None
    """Always the commonest answer of the task's train questions (of equally common ones the first in the alphabet);
    None without train questions."""
    answer: str
    """That answer."""


def guesses(questions: pa.Table) -> dict[tuple[str, str], Guess]:
    """(task, split) -> what guessing gives; only for yes/no and letter questions: other answers have no options."""
    options: dict[tuple[str, str], list[float]] = defaultdict(list)
    golds: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in questions.select(["task", "split", "answer", "answer_type", "choices"]).to_pylist():
        count = 2 if row["answer_type"] == "yes_no" else len(row["choices"] or ())
        if row["answer_type"] in ("yes_no", "letter") and count:
            options[row["task"], row["split"]].append(1 / count)
            golds[row["task"], row["split"]][row["answer"]] += 1
    found = {}
    for (task, split), shares in options.items():
        learned = sorted(golds.get((task, "train"), Counter()).items(), key=lambda item: (-item[1], item[0]))
        answer = learned[0][0] if learned else ""
        gold = golds[task, split]
        found[task, split] = Guess(fmean(shares), gold[answer] / gold.total() if learned else None, answer)
    return found


def teacher(*samples: pa.Table | None) -> list[Row]:
    """The teacher's figures from zero_shot and few_shot (tables.SAMPLES; None where the run had no such stage).

    One row per task, method, degree and split, and one for all splits where there are several: questions, n (samples),
    failed (asked in vain; in no other figure), accuracy with interval, any_correct (share of questions with a right
    sample), published_accuracy, second_call, no_answer and cut (finish_reason length) as shares of n.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    wanted = ["task", "method", "degree", "split", "question_id", "prediction", "correct", "published_correct"]
    for row in _rows(samples, [*wanted, "answered_by", "finish_reason", "error"]):
        groups.setdefault((row["task"], row["method"], row["degree"], row["split"]), []).append(row)
    for key in list(groups):
        splits = [k for k in groups if k[:3] == key[:3] and k[3] != "all"]
        if len(splits) > 1:
            groups[(*key[:3], "all")] = [row for k in splits for row in groups[k]]

    figures = []
    for (task, method, degree, split), rows in groups.items():
        done = [r for r in rows if not r["error"]]
        n, questions = len(done), {r["question_id"] for r in done}
        figure: Row = {"task": task, "method": method, "degree": degree, "split": split}
        figure |= {"n": n, "questions": len(questions), "failed": len(rows) - n}
        accuracy = fmean(bool(r["correct"]) for r in done) if done else None
        low, high = wilson(accuracy * len(questions), len(questions)) if accuracy is not None else (None, None)
        figure |= {"accuracy": accuracy, "ci_low": low, "ci_high": high}
        figure["any_correct"] = len({r["question_id"] for r in done if r["correct"]}) / len(questions) if done else None
        tests = {
            "published_accuracy": lambda r: bool(r["published_correct"]),
            "second_call": lambda r: r["answered_by"] == "second_call",
            "no_answer": lambda r: r["prediction"] is None,
            "cut": lambda r: r["finish_reason"] == "length",
        }
        figure |= {name: fmean(test(r) for r in done) if done else None for name, test in tests.items()}
        figures.append(figure)
    tasks = list(dict.fromkeys(f["task"] for f in figures))
    return sorted(figures, key=lambda f: (tasks.index(f["task"]), *_trial_order(f), labels.SPLITS.index(f["split"])))


def curation(training: pa.Table | None, judgements: pa.Table | None, *samples: pa.Table | None) -> list[Row]:
    """What became of the train questions, one row per task, method and degree.

    asked (samples), answered, right (None for vanilla, which asks nothing), candidates, kept, kept_questions,
    reasons {kind of reason: rows}: a reason without its particulars ("wrong answer: 7", "repeats sample 3"), and
    verdicts {JUDGEMENTS.verdict: rationales}, empty where the teacher was not asked to judge.
    """
    verdicts: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row in _rows([judgements], ["task", "method", "degree", "verdict"]):
        verdicts[row["task"], row["method"], row["degree"]][row["verdict"]] += 1
    groups: dict[tuple[Any, ...], Row] = {}
    for row in _rows([training], ["task", "method", "degree", "question_id", "kept", "reason"]):
        key = (row["task"], row["method"], row["degree"])
        group = groups.setdefault(key, {"candidates": 0, "kept": 0, "questions": set(), "reasons": Counter()})
        group["candidates"] += 1
        if row["kept"]:
            group["kept"] += 1
            group["questions"].add(row["question_id"])
        else:
            kind = re.sub(r" sample \d+$", " another sample", row["reason"].split(": ", 1)[0])
            group["reasons"][labels.REASONS.get(kind, kind) or "no reason given"] += 1
    asked: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row in _rows(samples, ["task", "method", "degree", "split", "prediction", "correct", "error"]):
        if row["split"] == "train":
            cell = asked[row["task"], row["method"], row["degree"]]
            cell["asked"] += 1
            cell["answered"] += not row["error"] and row["prediction"] is not None
            cell["right"] += not row["error"] and bool(row["correct"])
    rows = []
    for (task, method, degree), group in groups.items():
        cell = asked.get((task, method, degree), Counter())
        row = {"task": task, "method": method, "degree": degree, "kept_questions": len(group.pop("questions")), **group}
        row["verdicts"] = verdicts[task, method, degree]
        rows.append(row | {name: cell[name] if cell else None for name in ("asked", "answered", "right")})
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    return sorted(rows, key=lambda r: (tasks.index(r["task"]), *_trial_order(r)))


def spend(ledger: pa.Table | None) -> Row | None:
    """LEDGER summed up: calls, attempts, reused, prompt/cached/completion tokens and usd (None: a price is unknown)."""
    if ledger is None or not ledger.num_rows:
        return None
    rows = ledger.to_pylist()
    names = ("calls", "attempts", "reused", "prompt_tokens", "cached_tokens", "completion_tokens")
    total: Row = {name: sum(r[name] or 0 for r in rows) for name in names}
    return total | {"usd": None if any(r["usd"] is None for r in rows) else sum(r["usd"] for r in rows)}


def examples(results: pa.Table, predictions: pa.Table, each: int = 2) -> list[Row]:
    """Telling test questions: per task, up to `each` that the best-informed training got right, and as many wrong.

    Those on which the trainings differ come first. Rows: task, question_id, split, right, trials (pairs of a RESULTS
    row and a PREDICTIONS row of the first student and seed, in table order).
    """
    chosen = []
    finished = [r for r in results.to_pylist() if r["accuracy"] is not None]
    for task in dict.fromkeys(r["task"] for r in finished):
        first = next(r for r in finished if r["task"] == task)
        trials = {
            r["trial"]: r
            for r in finished
            if (r["task"], r["student"], r["seed"]) == (task, first["student"], first["seed"])
        }
        answers: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
        mine = [t in trials for t in predictions["trial"].to_pylist()]
        for row in predictions.filter(pa.array(mine, pa.bool_())).to_pylist():
            if row["split"] != "train":
                answers[row["split"], row["question_id"]][row["trial"]] = row
        best = best_informed(trials.values())["trial"]
        whole = sorted((key, given) for key, given in answers.items() if len(given) == len(trials))
        for right in (True, False):
            group = [(key, given) for key, given in whole if bool(given[best]["correct"]) == right]
            group.sort(key=lambda item: len({bool(r["correct"]) for r in item[1].values()}) == 1)
            for (split, question_id), given in group[:each]:
                row = {"task": task, "split": split, "question_id": question_id, "right": right}
                chosen.append(row | {"trials": [(trials[t], given[t]) for t in trials]})
    return chosen


def disagreements(*judged: pa.Table | None) -> tuple[list[Row], int]:
    """The answers (of SAMPLES or PREDICTIONS) on which the two judges differ, and how many answers there are.

    Samples that were asked for in vain are no answers. In the rows, `prediction` and `correct` are the robust judge's.
    """
    names = ["task", "question_id", "prediction", "correct", "published_prediction", "published_correct"]
    robust = {"prediction": "robust_prediction", "correct": "robust_correct"}
    rows = [
        dict(zip(names, row.values(), strict=True))
        for table in judged
        if table is not None
        for row in _rows(
            [_answered(table)], [robust.get(n, n) if "robust_correct" in table.column_names else n for n in names]
        )
    ]
    return [row for row in rows if bool(row["correct"]) != bool(row["published_correct"])], len(rows)


def _answered(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["error"], "")) if "error" in table.column_names else table


def _trial_order(row: Row, students: Sequence[str] = ()) -> tuple[Any, ...]:
    student = labels.order(row.get("student", ""), students)
    return (student, labels.order(row["method"], labels.METHODS), row["degree"], row.get("seed", 0))


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def _rows(parts: Iterable[pa.Table | None], columns: list[str]) -> list[Row]:
    return [row for table in parts if table is not None for row in table.select(columns).to_pylist()]


def overall(figures: Iterable[Row]) -> list[Row]:
    """Of the rows that `teacher` gives, those for all splits together (or for the only one), where any was answered."""
    widest: dict[tuple[Any, ...], Row] = {}
    for row in figures:  # "all" comes last of a training's rows
        if row["accuracy"] is not None:
            widest[row["task"], row["method"], row["degree"]] = row
    return list(widest.values())


def best_informed(rows: Iterable[Row]) -> Row:
    """The row with the last method of `labels.METHODS`, and of those the highest degree: what a summary shows first."""
    return max(rows, key=lambda r: (labels.order(r["method"], labels.METHODS), r.get("degree", 1)))


def unique(table: pa.Table, column: str) -> list[Any]:
    """The values of a column, each once, in the order of their first rows."""
    return table[column].unique().to_pylist()

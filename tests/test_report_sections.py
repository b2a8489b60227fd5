"""The report's later sections: epochs chosen three ways, cascades, exemplars, likeness, verdicts, guesses."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support import report_tables
from support.report_page import Page, run_settings, stored, whole

from raydistill import tables, tasks
from raydistill.config import QuestionSettings, Settings, TeacherSettings
from raydistill.report import epochs, guesses, page, paired, terminal
from raydistill.report.intervals import wilson
from raydistill.report.run import read
from raydistill.runtime.store import Store
from raydistill.students import card, cascade
from raydistill.students.records import StudentRow


def words(html: str) -> str:
    """Visible text, pieces parted by one space."""
    return " ".join(" ".join(Page(html).texts).split())


def shown(path: Path, made: dict[str, pa.Table], settings: Settings) -> tuple[str, str]:
    """Visible text of the page and of the closing summary."""
    store = stored(path, made)
    html = Path(page.write(store, settings)).read_text("utf-8")
    out = io.StringIO()
    terminal.show(store, settings, Console(file=out, width=160))
    return words(html), out.getvalue()


def with_students(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"students": settings.students.model_copy(update=values)})


# Intervals and tests, against published and counted figures


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_that_of_newcombes_table(right: int, n: int, low: float, high: float) -> None:
    # Newcombe 1998, Stat. Med. 17:857, Table I, method 3.
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemars_p_counts_the_splits_at_least_as_uneven(first_only: int, second_only: int) -> None:
    n = first_only + second_only
    first = {str(i): i < first_only for i in range(n)}
    pair = paired.compare(first, {q: not right for q, right in first.items()})
    uneven = [k for k in range(n + 1) if abs(2 * k - n) >= abs(first_only - second_only)]
    assert pair.p_value == pytest.approx(sum(math.comb(n, k) for k in uneven) / 2**n)


# Guesses


def test_guessing_by_options_and_by_the_commonest_train_answer() -> None:
    def question(split: str, answer: str, kind: str = "letter") -> dict[str, Any]:
        return {"task": kind, "split": split, "answer": answer, "answer_type": kind, "choices": ["x", "y", "z", "w"]}

    rows = [question("train", a) for a in "BBCCA"] + [question("test", a) for a in "BCCC"]
    rows += [question(split, "7", "number") for split in ("train", "test")]
    rows += [question("test", "yes", "yes_no")]
    found = guesses.guesses(pa.Table.from_pylist(rows, schema=tables.QUESTIONS))
    assert found["letter", "test"] == (0.25, 0.25, "B")  # of the two commonest the first
    assert found["yes_no", "test"] == (0.5, None, "")  # no train questions to learn an answer from
    assert ("number", "test") not in found


def test_guesses_stand_beside_the_students(tmp_path: Path) -> None:
    made = whole(splits=(("train", 40), ("test", 20)))
    guess = guesses.guesses(made["questions"])["coin_flip", "test"]
    text, summary = shown(tmp_path, made, run_settings())
    assert f"always “{guess.answer}”, the commonest train answer: {100 * guess.majority:.1f} %" in text
    assert re.search(r"random guess +50\.0 %", summary)
    assert re.search(rf"always “{guess.answer}” +{100 * guess.majority:.1f} %", summary)
    made["questions"] = made["questions"].set_column(
        5, "answer_type", pa.array(["number"] * made["questions"].num_rows)
    )
    text, summary = shown(tmp_path / "open", made, run_settings())
    assert "open answers have no options to guess among" in text
    assert "random guess" not in summary


# Epochs


def trial(points: list[tuple[float | None, float | None]], **how: Any) -> dict[str, Any]:
    """A STUDENTS row with (validation accuracy, test accuracy) by epoch."""
    made = report_tables.make(untrained=False, methods=("vanilla",))["students"].to_pylist()[0]
    names = ("validation_accuracy", "test_accuracy")
    rows = [
        {"epoch": e, "train_loss": 1.0, "validation_loss": None, **dict(zip(names, point, strict=True))}
        for e, point in enumerate(points, start=1)
    ]
    return made | {"epochs": rows, "settings": json.dumps(how)}


def chosen(row: dict[str, Any], accuracy: float = 0.42) -> Mapping[str, epochs.Choice]:
    result = dict.fromkeys(tables.RESULTS.names) | {"trial": row["trial"], "split": "test", "accuracy": accuracy}
    students = pa.Table.from_pylist([row], schema=tables.STUDENTS)
    (found,) = epochs.choices(students, pa.Table.from_pylist([result], schema=tables.RESULTS))
    return found.choices


def test_three_epochs_of_one_training() -> None:
    row = chosen(trial([(0.6, 0.5), (0.9, 0.7), (0.9, 0.8), (0.8, 0.95), (0.7, 0.9)], validation_fraction=0.1), 0.89)
    assert row["last"] == (5, 0.89, "")  # the reported epoch, judged once more
    assert row["validation"] == (2, 0.7, "")  # the first of equals: what training keeps
    assert row["best_on_test"] == (4, 0.95, "")


def test_an_epoch_without_a_figure_says_why() -> None:
    plain = chosen(trial([(None, None)] * 3, checkpoint_selection="last"))
    assert plain["last"] == (3, 0.42, "")  # the one that was reported
    assert plain["validation"][:2] == plain["best_on_test"][:2] == (None, None)
    assert "students.validation_fraction" in plain["validation"].why
    assert "students.evaluate_every_epoch" in plain["best_on_test"].why

    by_validation = chosen(
        trial([(0.9, None), (0.5, None)], checkpoint_selection="validation", validation_fraction=0.1)
    )
    assert by_validation["validation"] == (1, 0.42, "")
    assert by_validation["last"][:2] == (2, None)
    assert "students.evaluate_every_epoch" in by_validation["last"].why

    unjudged = chosen(trial([(None, None)], checkpoint_selection="last", validation_fraction=0.1))
    assert "students.evaluate_every_epoch" in unjudged["validation"].why


def test_three_ways_are_shown_with_their_reasons(tmp_path: Path) -> None:
    made = whole(methods=("vanilla",), seeds=(0, 1), splits=(("train", 20), ("test", 20)))
    text, summary = shown(tmp_path, made, run_settings(("vanilla",)))
    assert "Best epoch on the test questions (comparable with the paper, optimistic)" in text
    assert (
        "– epoch chosen on validation questions: no train questions were kept out (students.validation_fraction)"
        in text
    )
    reported = [r["accuracy"] for r in made["results"].to_pylist() if r["method"] == "vanilla"]
    for accuracy in reported:  # the last epoch is the best, and the one that is reported
        assert text.count(f"{100 * accuracy:.1f} % epoch 6 – {100 * accuracy:.1f} % epoch 6") >= 1
    mean = f"{100 * sum(reported) / 2:.1f} %"
    assert re.search(rf"answers alone +{mean} +{mean}", summary)
    assert "Not measured: epoch chosen on validation questions" in summary


# Student and teacher together


def with_cascade(path: Path) -> tuple[Store, list[dict[str, Any]]]:
    """A stored run with a cascade of its vanilla student: sure of its right answers, the teacher always right."""
    made = whole(methods=("vanilla", "new_fine_tune_cot"), splits=(("train", 20), ("test", 50)))
    store = stored(path, made)
    student = next(r for r in made["students"].to_pylist() if r["method"] == "vanilla")
    rows = []
    for split in ("validation", "test"):
        sure, right = [i / 50 for i in range(50)], [i >= 20 for i in range(50)]
        points = cascade.curve(sure, right, [True] * 50)
        marked = [(p, False) for p in points] + [(cascade.at(0.3, sure, right, [True] * 50), True)]
        fixed = {name: student[name] for name in ("trial", "task", "student", "method")} | {"split": split}
        rows += [fixed | {"confidence": "probability", "chosen": mark} | p._asdict() for p, mark in marked]
    store.write("cascade", pa.Table.from_pylist(rows, schema=tables.CASCADE), cascade.key(store), goal="a goal of ours")
    return store, rows


def test_a_cascade_is_drawn_from_the_student_alone_to_the_teacher_alone(tmp_path: Path) -> None:
    store, _ = with_cascade(tmp_path)
    html = Path(page.write(store, run_settings())).read_text("utf-8")
    text = words(html)
    assert "Student and teacher together" in text
    assert "a goal of ours" in text
    assert "tokens 60.0 % 100.0 % 90.0 % 30.0 % 0.300" in text  # alone, teacher, together, passed on, threshold
    svg = re.search(r"its teacher on coin flip.*?</svg>", html, re.DOTALL)
    assert svg
    path = re.search(r'class="line" style="[^"]*" d="M([^"]*)"', svg[0])
    assert path
    x, y = zip(*(map(int, p.split()) for p in path[1].split("L")), strict=True)
    assert x == tuple(sorted(x))
    assert y[0] > y[-1]  # upwards, to the teacher
    ring = re.search(r'<circle class="ring" [^>]*cx="(\d+)" cy="(\d+)"', svg[0])
    assert ring
    assert int(ring[1]) == pytest.approx(x[0] + 0.3 * (x[-1] - x[0]), abs=1)
    assert y[-1] < int(ring[2]) < y[0]
    out = io.StringIO()
    terminal.show(store, run_settings(), Console(file=out, width=120))
    assert re.search(r"answers alone +tokens +60\.0 % +100\.0 % +90\.0 % +30\.0 %", out.getvalue())


def test_a_threshold_that_passes_everything_on_is_a_word(tmp_path: Path) -> None:
    store, rows = with_cascade(tmp_path)
    whole_way = [
        row | ({"threshold": math.inf, "teacher_fraction": 1.0, "accuracy": 1.0} if row["chosen"] else {})
        for row in rows
    ]
    store.write("cascade", pa.Table.from_pylist(whole_way, schema=tables.CASCADE), cascade.key(store), goal="a goal")
    text = words(Path(page.write(store, run_settings())).read_text("utf-8"))
    assert "tokens 60.0 % 100.0 % 100.0 % 100.0 % above 1" in text


def test_a_cascade_of_other_answers_is_not_shown(tmp_path: Path) -> None:
    store, _ = with_cascade(tmp_path)
    assert read(store, run_settings())["cascade"].num_rows
    predictions = store.read("predictions")
    store.write("predictions", predictions.slice(1), "key")
    assert not read(store, run_settings())["cascade"].num_rows
    assert "Student and teacher together" not in Path(page.write(store, run_settings())).read_text("utf-8")


# Exemplars, likeness, verdicts, sources


def test_every_nearer_candidate_is_listed_with_its_reason(tmp_path: Path) -> None:
    made = whole(splits=(("train", 30), ("test", 5)))
    train = [q for q in made["questions"].to_pylist() if q["split"] == "train"]
    over = [
        {"question_id": q["question_id"], "rank": i, "distance": i / 10}
        | {"condition": "correct", "reason": f"wrong answer: {i}, not 7"}
        for i, q in enumerate(train[10:22])
    ]
    rows = made["exemplars"].to_pylist()
    rows[0] |= {"passed_over": over, "rank": 12, "distance": 1.25}
    made["exemplars"] = pa.Table.from_pylist(rows[:7], schema=tables.EXEMPLARS)
    points = made["clusters"].to_pylist()
    for i, point in enumerate(points):
        point["cluster"] = i % 8
    made["clusters"] = pa.Table.from_pylist(points, schema=tables.CLUSTERS)
    made["questions"] = pa.Table.from_pylist(
        [q | {"question": f"Question {q['source_row']} of {q['split']}?"} for q in made["questions"].to_pylist()],
        schema=tables.QUESTIONS,
    )
    text, _ = shown(tmp_path, made, run_settings())
    assert "12 nearer passed over: 12 × wrong answer" in text
    for i, candidate in enumerate(over):
        row = train[10 + i]["source_row"]
        assert f"{i + 1} {candidate['distance']:.3f} {candidate['reason']} Question {row} of train?" in text
    left = [p["question_id"] for p in points if p["cluster"] == 7]
    assert f"7 {len(left)} No question of this cluster can be an exemplar" in text
    wrong = {s["question_id"] for s in made["zero_shot"].to_pylist() if s["prediction"] and not s["correct"]}
    assert f"{len(left)} passed over:" in text
    assert text.count("wrong answer: ") == len(over) + len(wrong & {*left})


def test_long_lists_of_candidates_are_cut_and_say_so(tmp_path: Path) -> None:
    made = whole(splits=(("train", 30), ("test", 5)))
    rows = made["exemplars"].to_pylist()
    reason = {"condition": "correct", "reason": "wrong answer: a"}
    over = [{"question_id": f"q{i}", "rank": i, "distance": 0.1, **reason} for i in range(700)]
    rows[0] |= {"passed_over": over, "rank": 700}
    made["exemplars"] = pa.Table.from_pylist(rows, schema=tables.EXEMPLARS)
    text, _ = shown(tmp_path, made, run_settings())
    assert "700 nearer passed over: 700 × wrong answer" in text
    assert text.count("wrong answer: a") == 500
    assert "the 500 nearest; table exemplars has the rest" in text


def test_likeness_of_sampled_rationales_is_shown_for_several_samples_only(tmp_path: Path) -> None:
    made = whole(methods=("new_fine_tune_cot",), degrees=(1, 4), splits=(("train", 10), ("test", 5)))
    rows = made["training"].to_pylist()
    for row in rows:
        if row["degree"] == 4 and row["sample_index"] == 0:
            row["rationale"] = "Something else altogether is said here of coins."
        elif row["degree"] == 4:
            row["rationale"] = "The coin starts heads up and one person flips it, so it is tails up now."
    made["training"] = pa.Table.from_pylist(rows, schema=tables.TRAINING)
    text, _ = shown(tmp_path / "4", made, with_students(run_settings(("new_fine_tune_cot",)), degrees=[1, 4]))
    assert "(New-Fine-tune-CoT), D = 4 10 40 20 50.0 %" in text  # 2 of 4 are near-duplicates
    text, _ = shown(tmp_path / "1", whole(splits=(("train", 10), ("test", 5))), run_settings())
    assert "How different the rationales" not in text


def test_what_the_teacher_judged_is_counted(tmp_path: Path) -> None:
    made = whole(methods=("new_fine_tune_cot",), splits=(("train", 10), ("test", 5)))
    rows = made["training"].to_pylist()
    verdicts = ["yes"] * 7 + ["no", "unjudged"]
    rows[0] |= {"kept": False, "reason": "llm_judge", "reason_detail": "No, the second step is wrong."}
    made["training"] = pa.Table.from_pylist(rows, schema=tables.TRAINING)
    names = ("task", "method", "degree", "question_id", "sample_index")
    judged = [{n: row[n] for n in names} | {"verdict": v} for row, v in zip(rows, verdicts, strict=False)]
    made["judgements"] = pa.Table.from_pylist(judged, schema=tables.JUDGEMENTS)
    settings = run_settings(("new_fine_tune_cot",))
    asked = settings.model_copy(update={"curation": settings.curation.model_copy(update={"llm_judge": True})})
    text, _ = shown(tmp_path / "asked", made, asked)
    assert "1 LLM judge: rejected" in text
    assert "Asked of the LLM judge: 7 called right, 1 called wrong, 1 unjudged (the budget was used up)" in text
    text, _ = shown(tmp_path / "plain", made, settings)  # an earlier command's judgements
    assert "Asked of the LLM judge" not in text


def test_questions_that_were_generated_for_want_of_a_file_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.question_table.published, "questions", _unavailable)
    monkeypatch.setattr(tasks.question_table, "log", tasks.question_table.logging.getLogger("quiet"))
    found = tasks.load_questions(QuestionSettings(tasks=["coin_flip"]), seed=0)
    made = whole(splits=(("train", 9), ("test", 9)))
    store = stored(tmp_path, made | {"questions": found})
    text = Page(Path(page.write(store, run_settings())).read_text("utf-8")).text
    assert "The published questions of coin flip could not be had: these are generated ones" in text
    asked_for = tasks.load_questions(QuestionSettings(tasks=["coin_flip"], source="generated"), seed=0)
    assert asked_for.equals(found)
    store.write("questions", asked_for, "key")
    assert "could not be had" not in Path(page.write(store, run_settings())).read_text("utf-8")


def _unavailable(task: str) -> Any:
    raise tasks.question_table.download.Unavailable("There is no network.", "Get one.")


@pytest.mark.parametrize(("prices", "told"), [((0.25, 0.5), "$0.7500"), ((0.25, None), "price unknown")])
def test_a_model_card_has_no_partial_sum(tmp_path: Path, prices: tuple[float | None, ...], told: str) -> None:
    made = whole(methods=("vanilla", "new_fine_tune_cot"), splits=(("train", 9), ("test", 9)))
    spent = [row | {"usd": usd} for row, usd in zip(made["ledger"].to_pylist(), prices, strict=False)]
    store = stored(tmp_path, made | {"ledger": pa.Table.from_pylist(spent, schema=tables.LEDGER)})
    student = next(r for r in made["students"].to_pylist() if r["method"] == "new_fine_tune_cot")
    folder = f"students/{student['trial']}/model"
    store.write_text(f"{folder}/config.json", "{}")
    mine = made["predictions"].filter(pa.compute.field("trial") == student["trial"])
    teacher = TeacherSettings(kind="api", model="some-model")
    card.write(StudentRow(**student), made["questions"], mine, teacher, store)
    text = store.read_text(f"{folder}/README.md")
    assert text is not None
    assert re.search(rf"some-model at \S+, 440 calls on the whole task, {re.escape(told)}[.;]", text)
    assert ("$" in text) == (told[0] == "$")
    assert re.search(r"\| test \| 9 (\| \d+\.\d % ){4}\|", text)

    assert "chosen on" not in text
    student = next(r for r in made["students"].to_pylist() if r["method"] == "vanilla")
    student["settings"] = json.dumps({"checkpoint_selection": "best_on_test"})
    store.write_text(f"students/{student['trial']}/model/config.json", "{}")
    mine = made["predictions"].filter(pa.compute.field("trial") == student["trial"])
    card.write(StudentRow(**student), made["questions"], mine, teacher, store)
    text = store.read_text(f"students/{student['trial']}/model/README.md") or ""
    assert re.search(r"\| test \| 9 (\| \d+\.\d % ){2}\| – \| \d", text)  # answers alone have no mark to have
    assert "chosen on these questions of the split test, which is optimistic" in text


def test_a_page_grows_by_little_for_each_trial(tmp_path: Path) -> None:
    size = {}
    for students in (1, 5):
        names = tuple(f"student-{i}" for i in range(students))
        made = whole(tasks=("coin_flip", "svamp"), students=names, epochs=20, splits=(("train", 20), ("test", 20)))
        size[students] = len(
            Path(page.write(stored(tmp_path / str(students), made), run_settings())).read_text("utf-8")
        )
    assert (size[5] - size[1]) / (4 * 2 * 3) < 5_000  # characters; 4 students × 2 tasks × 3 trainings

"""The report: its figures against independent ones, its page and closing summary on runs whole, partial and hostile."""

from __future__ import annotations

import dataclasses
import io
import math
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import binomtest
from support import report_tables
from support.report_page import Page, run_settings, stored, whole

from raydistill import tables
from raydistill.config import StudentSettings
from raydistill.method.methods import METHODS, UNTRAINED
from raydistill.report import (
    accuracy,
    curation_outcome,
    examples,
    guesses,
    labels,
    page,
    paired,
    paper,
    plots,
    results,
    rules_compared,
    spend,
    teacher_accuracy,
    terminal,
)
from raydistill.report.intervals import wilson
from raydistill.report.run import SCHEMAS, RunReport, read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def changed(table: pa.Table, row: int, **values: Any) -> pa.Table:
    rows = table.to_pylist()
    rows[row] |= values
    return pa.Table.from_pylist(rows, schema=table.schema)


# Figures


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_is_scipys(counts: tuple[int, int]) -> None:
    right, n = counts
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_paired_comparison_counts_every_question_once_and_is_symmetric(outcomes: list[tuple[bool, bool]]) -> None:
    first = {str(i): a for i, (a, _) in enumerate(outcomes)}
    second = {str(i): b for i, (_, b) in enumerate(outcomes)}
    pair, mirrored = paired.compare(first, second), paired.compare(second, first)
    assert pair.n == pair.both + pair.only_first + pair.only_second + pair.neither == len(outcomes)
    assert pair.p_value == pytest.approx(mirrored.p_value)
    assert pair.difference == pytest.approx(-mirrored.difference)
    if outcomes:
        assert pair.difference == pytest.approx((sum(first.values()) - sum(second.values())) / len(outcomes))


def test_exact_mcnemar_by_hand() -> None:
    # 10 against 2: twice the binomial tail, 2 * (1 + 12 + 66) / 2**12.
    first = {f"a{i}": True for i in range(10)} | {f"b{i}": False for i in range(2)} | {"same": True, "mine": True}
    second = {q: not right for q, right in first.items()} | {"same": True}
    del second["mine"]  # answered by one only: not compared
    pair = paired.compare(first, second)
    assert pair[:5] == (13, 1, 10, 2, 0)
    assert pair.p_value == pytest.approx(2 * 79 / 4096)


def test_summarise_gives_each_trial_a_row_per_test_split_in_order() -> None:
    made = report_tables.make(students=("b-model", "a-model"), seeds=(0, 1))
    shuffled = made["predictions"].take(list(reversed(range(made["predictions"].num_rows))))
    table = results.summarise(made["students"], shuffled, made["questions"])
    assert table.schema == tables.RESULTS
    rows = table.to_pylist()
    assert len(rows) == 2 * 2 * 2 * 3  # splits, students, seeds, methods
    assert [r["split"] for r in rows] == ["test"] * 12 + ["test_unseen"] * 12
    assert [r["student"] for r in rows[:12]] == ["b-model"] * 6 + ["a-model"] * 6
    assert [(r["method"], r["seed"]) for r in rows[:3]] == [("untrained", 0), ("untrained", 1), ("vanilla", 0)]
    for row in rows:
        mine = [p for p in made["predictions"].to_pylist() if (p["trial"], p["split"]) == (row["trial"], row["split"])]
        assert row["n"] == len(mine) == (60 if row["split"] == "test" else 40)
        assert row["correct"] == sum(p["correct"] for p in mine)
        assert row["ci_low"] <= row["accuracy"] == row["correct"] / row["n"] <= row["ci_high"]
        assert row["mean_tokens"] == pytest.approx(sum(p["tokens"] for p in mine) / len(mine))
        assert row["error"] == ""


def test_failed_and_incomplete_trials_keep_their_rows() -> None:
    made = report_tables.make(failed=("vanilla",))
    trial = next(r["trial"] for r in made["students"].to_pylist() if r["method"] == "new_fine_tune_cot")
    some = [p for p in made["predictions"].to_pylist() if p["trial"] != trial or p["question_id"] < "8"]
    predictions = pa.Table.from_pylist(some, schema=tables.PREDICTIONS)
    rows = results.summarise(made["students"], predictions, made["questions"]).to_pylist()
    lost = [r for r in rows if r["method"] == "vanilla"]
    assert [(r["split"], r["n"], r["accuracy"], r["ci_low"]) for r in lost] == [
        ("test", 0, None, None),
        ("test_unseen", 0, None, None),
    ]
    assert all("out of memory" in r["error"] for r in lost)
    partial = next(r for r in rows if r["method"] == "new_fine_tune_cot" and r["split"] == "test")
    assert 0 < partial["n"] < 60
    assert partial["error"] == f"{partial['n']} of 60 questions were answered"
    assert partial["accuracy"] == partial["correct"] / partial["n"]


def test_seeds_are_averaged_without_a_narrower_interval() -> None:
    made = whole(seeds=(0, 1, 2))
    by_seed = [r for r in made["results"].to_pylist() if r["method"] == "vanilla" and r["split"] == "test"]
    (merged,) = [r for r in accuracy.over_seeds(made["results"]) if (r.method, r.split) == ("vanilla", "test")]
    accuracies = [r["accuracy"] for r in by_seed]
    assert merged.seeds == 3
    assert merged.accuracy == pytest.approx(sum(accuracies) / 3)
    assert (merged.lowest, merged.highest) == (min(accuracies), max(accuracies))
    assert (merged.ci_low, merged.ci_high) == wilson(merged.accuracy * 60, 60)


def test_comparisons_set_the_best_informed_training_against_the_others() -> None:
    made = whole(
        methods=("vanilla", "fine_tune_cot", "new_fine_tune_cot"), degrees=(1, 8), splits=(("train", 9), ("test", 30))
    )
    rows = paired.comparisons(made["results"], made["predictions"])
    pairs = [(r.first.degree, r.second.method, r.second.degree) for r in rows]
    assert all(r.first.method == "new_fine_tune_cot" for r in rows)
    assert pairs == [
        (1, "untrained", 1),
        (1, "vanilla", 1),
        (1, "fine_tune_cot", 1),
        (8, "untrained", 1),
        (8, "vanilla", 1),
        (8, "fine_tune_cot", 8),
    ]
    for row in rows:
        assert row.pair.n == 30
        difference = row.first.accuracy - row.second.accuracy
        assert row.pair.difference == pytest.approx(difference)


def test_chance_level_of_options_only() -> None:
    rows = [{"task": "t", "split": "test", "answer_type": "letter", "choices": ["a"] * k} for k in (6, 6, 5)] + [
        {"task": kind, "split": "test", "answer_type": kind, "choices": []} for kind in ("yes_no", "number", "letter")
    ]
    questions = pa.Table.from_pylist(rows, schema=tables.QUESTIONS)
    assert {key: guess.chance for key, guess in guesses.guesses(questions).items()} == {
        ("t", "test"): pytest.approx((1 / 6 + 1 / 6 + 1 / 5) / 3),
        ("yes_no", "test"): 0.5,
    }


def test_teacher_figures_leave_failed_answers_out_and_count_questions_not_samples() -> None:
    made = report_tables.make(degrees=(1, 4), methods=("new_fine_tune_cot",), splits=(("train", 50), ("test", 20)))
    made["few_shot"] = changed(made["few_shot"], 0, error="", prediction="x", correct=False)
    rows = teacher_accuracy.by_split(made["zero_shot"], made["few_shot"])
    assert [(r.method, r.degree, r.split) for r in rows] == [
        *[("fine_tune_cot", 1, s) for s in ("train", "test", "all")],
        *[("new_fine_tune_cot", 1, s) for s in ("train", "test", "all")],
        ("new_fine_tune_cot", 4, "train"),
    ]
    for row in rows:
        mine = [
            r
            for t in (made["zero_shot"], made["few_shot"])
            for r in t.to_pylist()
            if (r["method"], r["degree"]) == (row.method, row.degree) and row.split in (r["split"], "all")
        ]
        good = [r for r in mine if not r["error"]]
        assert (row.n, row.failed) == (len(good), len(mine) - len(good))
        assert row.accuracy == pytest.approx(sum(r["correct"] for r in good) / len(good))
        assert row.no_answer == pytest.approx(sum(r["prediction"] is None for r in good) / len(good))
        assert row.answer_call == pytest.approx(sum(r["answered_by"] == "answer_call" for r in good) / len(good))
        assert row.truncated == pytest.approx(sum(r["finish_reason"] == "length" for r in good) / len(good))
    diverse = rows[-1]
    assert (diverse.questions, diverse.n > 150) == (50, True)
    assert (diverse.ci_low, diverse.ci_high) == wilson(diverse.accuracy * 50, 50)
    assert diverse.any_correct >= diverse.accuracy


def test_teacher_whose_every_answer_failed_has_no_figures() -> None:
    made = report_tables.make(splits=(("train", 3),))
    failed = pa.Table.from_pylist(
        [row | {"error": "timeout"} for row in made["zero_shot"].to_pylist()], schema=tables.SAMPLES
    )
    (row,) = teacher_accuracy.by_split(failed)
    assert (row.n, row.failed, row.accuracy, row.ci_low) == (0, 3, None, None)
    assert teacher_accuracy.overall([row]) == []


def test_curation_accounts_for_every_candidate() -> None:
    made = report_tables.make()
    none = tables.JUDGEMENTS.empty_table()
    vanilla, rationales = curation_outcome.outcomes(made["training"], none, made["zero_shot"], made["few_shot"])
    assert (vanilla.method, vanilla.answers, vanilla.kept) == ("vanilla", None, 120)
    answers = rationales.answers
    assert answers is not None
    assert answers.requested == rationales.candidates == 120
    assert answers.requested >= answers.answered >= answers.correct == rationales.kept
    assert rationales.kept + rationales.reasons.total() == 120
    assert set(rationales.reasons) <= {"wrong_answer", "no_answer", "failed"}
    first = changed(made["training"], 0, kept=False, reason="repeated", reason_detail="sample 3")
    repeated = changed(first, 1, kept=False, reason="repeated", reason_detail="sample 1")
    assert curation_outcome.outcomes(repeated, none)[0].reasons == {"repeated": 2}


def test_reasons_are_shown_in_words_and_an_unknown_one_as_it_is(tmp_path: Path) -> None:
    made = whole(methods=("new_fine_tune_cot",), splits=(("train", 10), ("test", 5)))
    training = changed(made["training"], 0, kept=False, reason="step_does_not_hold", reason_detail="2 + 2 = 5")
    made["training"] = changed(training, 1, kept=False, reason="a_rule_of_tomorrow")
    seen = Page(Path(page.write(stored(tmp_path, made), run_settings(("new_fine_tune_cot",)))).read_text("utf-8"))
    assert "1 step does not hold" in seen.texts
    assert "1 a_rule_of_tomorrow" in seen.texts


def test_spend_is_unknown_where_one_price_is() -> None:
    ledger = report_tables.make()["ledger"]
    total = spend.total(ledger)
    assert total is not None
    assert total.calls == 220 * 3 + 11
    assert total.usd == pytest.approx(0.671)
    unknown = spend.total(changed(ledger, 1, usd=None))
    assert unknown is not None
    assert unknown.usd is None
    assert spend.total(ledger.slice(0, 0)) is None


def test_examples_are_right_and_wrong_and_differ_first() -> None:
    made = whole()
    chosen = examples.choose(made["results"], made["predictions"])
    assert {e.correct for e in chosen} == {True, False}
    for e in chosen:
        *_, (best, given_best) = e.answers
        assert best.method == "new_fine_tune_cot"
        assert given_best.correct is e.correct
        assert {given.question_id for _, given in e.answers} == {e.question_id}
    assert any(not given.correct for _, given in chosen[0].answers)


# The paper's numbers


def test_paper_figures_have_the_captions_of_tables_3_and_4_put_right() -> None:
    addsub, date = paper.figures("addsub"), paper.figures("date_understanding")
    assert (addsub["few_shot_unfiltered", 1, "teacher"], addsub["few_shot_unfiltered", 1, "gpt2"]) == (0.8354, 0.067)
    assert (date["few_shot_unfiltered", 1, "teacher"], date["few_shot_unfiltered", 1, "gpt2-medium"]) == (0.7635, 0.225)
    # The rows that both tables share agree with Table 5, which names its columns.
    assert addsub["new_fine_tune_cot", 1, "gpt2"] == pytest.approx(0.084)
    assert date["new_fine_tune_cot", 1, "gpt2"] == pytest.approx(0.234)
    assert addsub["fine_tune_cot", 1, "teacher"] == pytest.approx(0.7671)
    assert ("new_fine_tune_cot", 8, "t5-small") not in paper.figures("svamp")  # not reported
    assert paper.figures("my_own_questions") == {}


def test_every_method_of_the_settings_has_a_name() -> None:
    methods = StudentSettings.model_fields["methods"].annotation
    named = {m for m in METHODS if m not in UNTRAINED}
    assert named == set(methods.__args__[0].__args__)  # type: ignore[union-attr]
    assert labels.method("vanilla") == "fine-tuned on answers alone"
    assert labels.method("new_fine_tune_cot", 8).endswith("(New-Fine-tune-CoT), D = 8")
    assert [labels.split(name) for name in labels.SPLITS] == [
        *("train questions", "test questions", "unseen patterns", "all questions")
    ]
    assert labels.short_names(["a/x", "b/x", "org/y"]) == {"a/x": "a/x", "b/x": "b/x", "org/y": "y"}


# Charts


def well_formed(markup: str) -> ET.Element:
    return ET.fromstring(re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", f"<div>{markup}</div>"))


def places(markup: str, kind: str) -> list[float]:
    return [float(x) for x in re.findall(rf'class="{kind}" style="(?:left|width):([\d.]+)%', markup)]


@settings(max_examples=15, deadline=None)
@given(TEXT, TEXT)
def test_charts_are_well_formed_whatever_the_labels(name: str, title: str) -> None:
    bar = plots.Bar(name, "vanilla", 0.5, 0.4, 0.6, heading=title)
    line = plots.Line(name, "vanilla", degree=8, dashed=True, points=[(1, 0.9), (2, 0.2)])
    charts = [
        plots.bars([bar, bar._replace(accuracy=None, ci_low=None, ci_high=None)], chance=0.5),
        plots.bars([bar], dots=True),
        plots.curves([line], title),
        plots.cascades([line._replace(points=[(0.0, 0.5), (1.0, 0.9)], ring=(0.2, 0.7))], title),
        plots.clusters([plots.MapPoint(name, 1, 0, 0)], {name: 1}, title),
    ]
    for chart in charts:
        drawn = well_formed(chart)
        assert all(svg.get("role") == "img" for svg in drawn.iter("svg"))
    assert all("var(--m-vanilla)" in chart for chart in charts[:4])


def test_bars_are_as_long_as_the_shares_they_show() -> None:
    rows = [plots.Bar("x", "vanilla", a, a - 0.1, a + 0.05) for a in (0.5, 0.925)]
    assert places(plots.bars(rows), "fill") == [50.0, 92.5]
    shifted = places(plots.bars(rows, dots=True), "dot")  # the axis begins at 20 %
    assert shifted == [37.5, 90.6]


def test_a_curve_goes_through_its_points() -> None:
    line = plots.Line("x", "vanilla", degree=1, dashed=False, points=[(1, 0.0), (3, 1.0), (5, 0.5)])
    svg = plots.curves([line], "t", fractions=True)
    path = re.search(r'class="line" style="[^"]*" d="M([^"]*)"', svg)
    assert path
    (x1, y1), (x2, y2), (x3, y3) = [tuple(map(int, p.split())) for p in path[1].split("L")]
    assert x2 - x1 == x3 - x2 > 0
    assert y1 - y3 == pytest.approx((y1 - y2) / 2, abs=1)
    assert y1 > y2 > 0  # downwards counts in SVG


def test_the_ring_of_a_threshold_lies_within_the_axes() -> None:
    line = plots.Line("x", "vanilla", degree=1, dashed=False, points=[(0.0, 0.65), (1.0, 0.9)], ring=(0.5, 0.55))
    svg = plots.cascades([line], "t")  # lower than the points that are drawn
    (ring,) = re.findall(r'<circle class="ring"[^>]* cy="(\d+)"', svg)
    assert 0 < int(ring) <= plots.HEIGHT - plots.BOTTOM


def test_a_map_of_many_points_is_no_heavy_page() -> None:
    points = [plots.MapPoint(str(i), i % 9, math.sin(i) * i, math.cos(i * i)) for i in range(100_000)]
    svg = plots.clusters(points, {"7": 7}, "map")
    assert len(svg) < 1_500_000
    few = plots.clusters(points[:50], {"7": 7}, "map")
    assert sum(d.count("M") for d in re.findall(r' d="([^"]*)"', few)) == 50
    assert svg.count("<circle") == few.count("<circle") == 1


# The page


def test_page_of_a_whole_run_says_what_came_out(tmp_path: Path) -> None:
    made = whole()
    store = stored(tmp_path / "run", made)
    path = page.write(store, run_settings())
    assert path == str(tmp_path / "run" / "report.html")
    html = Path(path).read_text("utf-8")
    seen = Page(html)
    assert "What smollm2-135m learned from a simulated teacher" in seen.text
    assert "The teacher is simulated." in seen.text
    best = next(
        r for r in made["results"].to_pylist() if (r["method"], r["split"]) == ("new_fine_tune_cot", "test_unseen")
    )
    assert f"{100 * best['accuracy']:.1f}\u00a0%".replace("\u00a0", " ") in seen.text
    for words in ("test questions", "unseen patterns", "fine-tuned on answers alone", "Beside the paper", "chance"):
        assert words in seen.text
    sections = re.findall('<section id="(.*?)">', html)
    assert sections == [
        *("students", "teacher", "curation", "exemplars", "training", "spend", "examples"),
        *("extraction_rules", "overlap", "paper", "reproduce"),
    ]
    assert len(seen.ids) == len(set(seen.ids))
    assert {a[1:] for a in seen.addresses} <= set(seen.ids)  # links within the page only
    assert {"script", "iframe", "link", "img", "object"} & set(seen.tags) == set()
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", html)


@pytest.mark.parametrize("missing", [(name,) for name in SCHEMAS] + [tuple(SCHEMAS)], ids=lambda m: m[0] + str(len(m)))
def test_page_and_summary_do_without_any_table(tmp_path: Path, missing: tuple[str, ...]) -> None:
    made = whole(splits=(("train", 20), ("test", 10)))
    store = stored(tmp_path, made, without=missing)
    Page(Path(page.write(store, run_settings())).read_text("utf-8"))
    out = io.StringIO()
    terminal.show(store, run_settings(), Console(file=out, width=80))
    assert "report.html" in out.getvalue()


def test_rules_differ_on_answers_and_failed_samples_are_none() -> None:
    samples = report_tables.make(splits=(("train", 10),))["zero_shot"]
    wrong = {"robust_correct": False, "published_correct": False}
    for row, lost in enumerate([*[""] * 8, "429", "429"]):
        samples = changed(samples, row, error=lost, **wrong)
    samples = changed(samples, 3, robust_correct=True, robust_prediction="yes")
    answers, (row,) = rules_compared.in_samples(samples)
    assert (answers, row.robust_prediction) == (8, "yes")


def test_the_command_to_go_on_survives_any_directory_name() -> None:
    run = RunReport({n: schema.empty_table() for n, schema in SCHEMAS.items()}, run_settings())
    place = "runs/it's my run"
    run = dataclasses.replace(run, settings=run.settings.model_copy(update={"run_dir": place}))
    command = re.findall("raydistill run .*", Page(page.render(run)).text)[0]
    assert shlex.split(command)[2] == f"{place}/settings.yaml"


def test_page_of_failed_trials_and_lost_answers_says_so(tmp_path: Path) -> None:
    made = whole(methods=("fine_tune_cot",), failed=("fine_tune_cot",), splits=(("train", 30), ("test", 10)))
    made["zero_shot"] = changed(made["zero_shot"], 0, error="429 after 8 attempts")
    text = Page(Path(page.write(stored(tmp_path, made), run_settings(("fine_tune_cot",)))).read_text("utf-8")).text
    assert "1 of 2 trials failed: CUDA out of memory" in text
    assert re.search(r"\d+ of 40 teacher answers failed", text)


def test_a_real_teacher_is_not_called_simulated(tmp_path: Path) -> None:
    made = whole(splits=(("train", 10), ("test", 10)))
    made["few_shot"] = made["few_shot"].set_column(
        made["few_shot"].schema.get_field_index("teacher"), "teacher", pa.array(["gpt"] * made["few_shot"].num_rows)
    )
    made["zero_shot"] = made["zero_shot"].drop_columns("teacher").append_column("teacher", pa.array(["gpt"] * 20))
    made["ledger"] = changed(made["ledger"], 0, usd=None)
    html = Path(page.write(stored(tmp_path, made), run_settings(kind="api"))).read_text("utf-8")
    text = Page(html).text
    assert "learned from gpt-3.5-turbo-instruct" in text
    assert "price unknown" in text
    settings_text = text[text.index("run_dir:") :]  # the settings name the simulated section all the same
    assert "simulated" not in text.replace(settings_text, "")


def test_exemplars_from_a_file_are_not_shown_as_clustered(tmp_path: Path) -> None:
    made = whole(splits=(("train", 10), ("test", 10)))
    given = [
        row | {"relaxation_level": 0, "cluster_size": 0, "passed_over": []} for row in made["exemplars"].to_pylist()
    ]
    made["exemplars"] = pa.Table.from_pylist(given, schema=tables.EXEMPLARS)
    store = stored(tmp_path, made, without=("clusters",))
    text = Page(Path(page.write(store, run_settings())).read_text("utf-8")).text
    assert "nothing was clustered" in text
    assert "nearest to its centre" not in text


def test_what_an_earlier_command_left_in_the_directory_is_not_shown(tmp_path: Path) -> None:
    store = stored(tmp_path, whole(methods=("vanilla", "new_fine_tune_cot")))
    run = read(store, run_settings(("vanilla",)))
    assert all(run[name].num_rows == 0 for name in ("zero_shot", "few_shot", "exemplars", "clusters", "ledger"))
    assert not run.simulated
    text = Page(Path(page.write(store, run_settings(("vanilla",)))).read_text("utf-8")).text
    assert "learned from right answers alone" in text
    assert "The teacher is simulated" not in text


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            TEXT,
            st.sampled_from(
                ["<script>alert(1)</script>", "</div></section>", "{{ 7*7 }}", "$x$ & \\alpha", '"><b x="']
            ),
        ),
        min_size=5,
        max_size=5,
    )
)
def test_page_escapes_all_text(texts: list[str]) -> None:
    question, rationale, completion, reason, student = texts
    made = report_tables.make(splits=(("train", 8), ("test", 6)), students=(student or "s",), epochs=2)

    def put(name: str, **values: Any) -> None:
        rows = [row | values for row in made[name].to_pylist()]
        made[name] = pa.Table.from_pylist(rows, schema=made[name].schema)

    put("questions", question=question, answer=completion)
    put("exemplars", question=question, rationale=rationale, answer=completion)
    put("zero_shot", rationale=rationale, prediction=completion, teacher=reason)
    put("few_shot", rationale=rationale, prediction=completion, teacher=reason)
    put("training", question=question, kept=False, reason=reason, reason_detail=completion)
    put("predictions", completion=completion, prediction=reason)
    made["results"] = results.summarise(made["students"], made["predictions"], made["questions"])
    seen = Page(
        page.render(RunReport(made | {n: SCHEMAS[n].empty_table() for n in SCHEMAS if n not in made}, run_settings()))
    )  # fails on any tag that the texts opened or closed
    assert "script" not in seen.tags
    shown = re.sub(r"[\r\n]+", "\n", seen.text).replace("\x00", "\ufffd")
    assert re.sub(r"[\r\n]+", "\n", question).replace("\x00", "\ufffd") in shown


# The closing summary


@pytest.mark.parametrize("width", [80, 120])
def test_summary_fits_and_is_plain_when_piped(tmp_path: Path, width: int) -> None:
    made = whole(tasks=("coin_flip", "tracking_shuffled_objects"), failed=("vanilla",))
    store = stored(tmp_path, made)
    path = page.write(store, run_settings())
    out = io.StringIO()
    terminal.show(store, run_settings(), Console(file=out, width=width))
    text = out.getvalue()
    assert "\x1b" not in text
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[-1] == f"Report: {path}"  # in one piece, however long
    assert max(map(len, lines[:-1])) <= width
    assert lines[1].startswith("Teacher: a simulated teacher, a program")
    best = next(r for r in made["results"].to_pylist() if r["method"] == "new_fine_tune_cot")
    assert f"{100 * best['accuracy']:.1f} %  {100 * best['ci_low']:.1f}–{100 * best['ci_high']:.1f}" in text
    for words in ("zero-shot", "few-shot", "test questions", "unseen patterns", "(n = 60)", "no money (simulated)"):
        assert words in text
    assert "2 of 6 trials failed: CUDA out of memory" in text


def test_summary_prints_names_as_they_are(tmp_path: Path) -> None:
    store = stored(tmp_path, whole(tasks=("[red]mine[/red]",), splits=(("train", 9), ("test", 9))))
    out = io.StringIO()
    terminal.show(store, run_settings(), Console(file=out, width=100))
    assert "[red]mine[/red]" in out.getvalue()

"""Algorithm 1: clusters, conditions, relaxation levels, leave-one-out, own exemplars."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from raydistill.config import ExemplarSettings
from raydistill.exemplars.conditions import exemplar_rationale
from raydistill.exemplars.kmeans import choose_k, cluster, plane
from raydistill.exemplars.select import leave_one_out, select, select_remote
from raydistill.exemplars.vectors import vector_array
from raydistill.runtime.errors import UserError
from raydistill.tables import CLUSTERS, EMBEDDINGS, EXEMPLARS, QUESTIONS, SAMPLES

BOTH = ["few_shot_unfiltered", "new_fine_tune_cot"]
GOOD = " Tom has 3 apples. He gets 2 more, so he has 5."


def table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema)


def world(
    points: Sequence[Sequence[float]],
    samples: dict[int, dict[str, Any]] | None = None,
    questions: dict[int, dict[str, Any]] | None = None,
    task: str = "svamp",
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Questions at the given points, all answered rightly with GOOD except where `samples` says otherwise."""
    asked = [
        {
            "task": task,
            "split": "train",
            "question_id": f"q{i:03}",
            "question": f"Question number {i}?",
            "answer": "5.0",
            "answer_type": "number",
            "choices": [],
            "source_row": i,
        }
        | (questions or {}).get(i, {})
        for i in range(len(points))
    ]
    answered = [
        {
            "question_id": q["question_id"],
            "task": task,
            "split": q["split"],
            "method": "fine_tune_cot",
            "degree": 1,
            "sample_index": 0,
            "rationale": GOOD,
            "prediction": "5",
            "correct": True,
            "error": "",
            "error_kind": "",
        }
        | (samples or {}).get(i, {})
        for i, q in enumerate(asked)
    ]
    vectors = pa.table(
        [[q["question_id"] for q in asked], [task] * len(asked), vector_array(np.array(points, np.float32))], EMBEDDINGS
    )
    return table(asked, QUESTIONS), vectors, table(answered, SAMPLES)


# Two clusters of five, around (0, 0) and (10, 0); the first named is the nearest to its centre.
TWO = [[x + dx, 0.0] for x in (0.0, 10.0) for dx in (0.0, 1.0, -1.2, 2.0, -1.8)]
NEAR_FAR = ["q000", "q001", "q002", "q004", "q003"]


def choose(*parts: pa.Table, methods: Sequence[str] = ("new_fine_tune_cot",), **settings: Any) -> list[dict[str, Any]]:
    settings = {"n_clusters": 2} | settings
    return select(*parts, ExemplarSettings(**settings), methods)[0].to_pylist()


def of_first(chosen: list[dict[str, Any]]) -> dict[str, Any]:
    return next(e for e in chosen if e["question_id"] in NEAR_FAR)


WRONG = {"prediction": "7", "correct": False, "rationale": " Tom has 3 apples. He gets 4 more, so he has 7."}


def test_the_nearest_question_of_each_cluster_is_chosen() -> None:
    exemplars, places = select(*world(TWO), ExemplarSettings(n_clusters=2), BOTH)
    assert exemplars.schema.equals(EXEMPLARS)
    assert places.schema.equals(CLUSTERS)
    for method in BOTH:
        mine = [e for e in exemplars.to_pylist() if e["method"] == method]
        assert [e["cluster"] for e in mine] == [0, 1]
        assert {e["question_id"] for e in mine} == {"q000", "q005"}
        assert all(e["rank"] == 0 and e["relaxation_level"] == 1 and e["passed_over"] == [] for e in mine)
        assert all(e["cluster_size"] == 5 for e in mine)
    assert mine[0]["rationale"] == GOOD.strip()
    assert mine[0]["answer"] == "5"
    assert places.num_rows == 10
    assert {(p["question_id"], p["cluster"]) for p in places.to_pylist()} == {
        (f"q{i:03}", places.to_pylist()[0]["cluster"] if i < 5 else places.to_pylist()[5]["cluster"]) for i in range(10)
    }


def test_a_wrong_answer_is_passed_over_by_the_second_change_and_taken_by_the_first() -> None:
    chosen = choose(*world(TWO, {0: WRONG, 1: WRONG}), methods=BOTH)
    first = of_first([e for e in chosen if e["method"] == "few_shot_unfiltered"])
    second = of_first([e for e in chosen if e["method"] == "new_fine_tune_cot"])
    assert first["question_id"] == "q000"
    assert first["answer"] == "7"
    assert second["question_id"] == "q002"
    assert second["rank"] == 2
    assert [(p["question_id"], p["rank"], p["reason"]) for p in second["passed_over"]] == [
        ("q000", 0, "wrong answer: 7, not 5.0"),
        ("q001", 1, "wrong answer: 7, not 5.0"),
    ]
    assert second["distance"] > second["passed_over"][0]["distance"]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"prediction": None, "correct": False}, "no answer"),
        ({"error": "gone", "error_kind": "fatal"}, "the teacher's call failed"),
        ({"rationale": " The answer is 5."}, "no rationale beside the answer"),
        ({"rationale": "\n" + "\n".join(["So it is 5."] * 5)}, "rationale of 6 lines (at most 5)"),
        ({"rationale": " He has 5"}, "rationale does not end with a full stop"),
        ({"rationale": " We add them up. That is all of it."}, "answer 5 is not in the last sentence"),
    ],
)
def test_each_condition_passes_a_candidate_over(sample: dict[str, Any], reason: str) -> None:
    chosen = of_first(choose(*world(TWO, {0: sample})))
    assert chosen["question_id"] == "q001"
    assert [p["reason"] for p in chosen["passed_over"]] == [reason]
    assert chosen["relaxation_level"] == 1


def test_lines_count_with_the_opening_sentence_and_double_breaks_count_once() -> None:
    lines = "\n\nOne.\n\nTwo.\n\nThree.\n\nIt is 5."  # with the opening: five lines, as Auto-CoT counts
    assert of_first(choose(*world(TWO, {0: {"rationale": lines}})))["question_id"] == "q000"
    assert of_first(choose(*world(TWO, {0: {"rationale": lines + "\n\nIt is 5."}})))["question_id"] == "q001"


def test_a_decimal_answer_is_seen_in_the_last_sentence() -> None:
    decimal = {"prediction": "14.02", "rationale": " One costs 7.01. So two cost $14.02."}
    assert of_first(choose(*world(TWO, {0: decimal})))["answer"] == "14.02"
    told = choose(*world(TWO, {0: decimal}), conditions="auto_cot")  # Zhang et al. 2022, run_demo.py, to the letter
    assert of_first(told)["passed_over"][0]["reason"] == "answer 14.02 is not in the last sentence"
    shown = decimal | {"rationale": " One costs 7.01. So two cost 14.02 dollars."}  # among the last ten words
    assert of_first(choose(*world(TWO, {0: shown}), conditions="auto_cot"))["answer"] == "14.02"
    hidden = decimal | {"rationale": " So two cost $14.02. Now he has to find his purse and pay at the counter."}
    assert of_first(choose(*world(TWO, {0: hidden})))["question_id"] == "q001"


def test_question_length_is_limited_by_task_and_setting() -> None:
    long = {0: {"question": "word " * 100}}
    assert of_first(choose(*world(TWO, questions=long)))["question_id"] == "q001"
    assert of_first(choose(*world(TWO, questions=long, task="tracking_shuffled_objects")))["question_id"] == "q000"
    assert of_first(choose(*world(TWO, questions=long), max_question_words=200))["question_id"] == "q000"


def test_correct_only_leaves_the_forms_out() -> None:
    sample = {0: {"rationale": " It is some number"}}
    assert of_first(choose(*world(TWO, sample)))["question_id"] == "q001"
    assert of_first(choose(*world(TWO, sample), conditions="correct_only"))["question_id"] == "q000"
    assert of_first(choose(*world(TWO, {0: WRONG}), conditions="correct_only"))["question_id"] == "q001"


def test_steps_can_be_a_condition_too() -> None:
    sample = {0: {"rationale": " 3 + 1 = 5. So he has 5."}}
    assert of_first(choose(*world(TWO, sample)))["question_id"] == "q000"
    chosen = of_first(choose(*world(TWO, sample), check_steps=True))
    assert chosen["question_id"] == "q001"
    assert "3 + 1 = 5" in chosen["passed_over"][0]["reason"]


def test_the_conditions_give_way_in_order() -> None:
    no_stop = {"rationale": " He has 5"}
    formless = dict.fromkeys(range(5), no_stop)
    on_two = of_first(choose(*world(TWO, formless | {0: WRONG})))
    assert (on_two["question_id"], on_two["relaxation_level"]) == ("q001", 2)
    assert [p["reason"] for p in on_two["passed_over"]] == ["wrong answer: 7, not 5.0"]

    long = {i: {"question": f"{i} " * 80} for i in range(5)}
    on_three = of_first(choose(*world(TWO, formless, long)))
    assert (on_three["question_id"], on_three["relaxation_level"]) == ("q000", 3)

    one_well_formed = of_first(choose(*world(TWO, dict.fromkeys(range(4), no_stop))))
    assert (one_well_formed["question_id"], one_well_formed["relaxation_level"], one_well_formed["rank"]) == (
        "q004",
        1,
        3,
    )


def test_a_cluster_without_a_right_answer_is_topped_up_from_the_nearest_elsewhere() -> None:
    chosen = choose(*world(TWO, dict.fromkeys(range(5), WRONG)))
    assert [(e["question_id"], e["relaxation_level"], e["rank"]) for e in chosen] == [("q005", 1, 0), ("q006", 4, 1)]
    assert chosen[1]["passed_over"] == []  # the nearer one is an exemplar itself


def test_no_eligible_question_at_all_is_an_error_that_counts_why() -> None:
    parts = world(TWO, dict.fromkeys(range(9), WRONG) | {9: {"prediction": None, "correct": False}})
    with pytest.raises(UserError, match=r"svamp.*none of the teacher's 10.*correct: 9, answer: 1"):
        choose(*parts)
    assert len(choose(*parts, methods=["few_shot_unfiltered"])) == 2


def test_per_cluster_takes_the_nearest_ones_and_never_the_same_text_twice() -> None:
    chosen = choose(*world(TWO, questions={1: {"question": "QUESTION number  0?"}}), per_cluster=2)
    mine = [e for e in chosen if e["question_id"] in NEAR_FAR]
    assert [e["question_id"] for e in mine] == ["q000", "q002"]
    assert [p["reason"] for p in mine[1]["passed_over"]] == ["repeats the question of an exemplar"]
    assert len(chosen) == 4


def test_the_pool_leaves_test_questions_out_unless_told() -> None:
    parts = world(TWO, questions={0: {"split": "test"}})
    assert of_first(choose(*parts))["question_id"] == "q001"
    assert of_first(choose(*parts, pool="all"))["question_id"] == "q000"
    _, places = select(*parts, ExemplarSettings(n_clusters=2), BOTH)
    assert "q000" not in places["question_id"].to_pylist()
    with pytest.raises(UserError, match=r"svamp.*no train question"):
        choose(*world(TWO, questions={i: {"split": "test"} for i in range(10)}))


def test_k_is_four_for_last_letters_eight_elsewhere_and_no_more_than_different_questions() -> None:
    points = np.random.default_rng(0).normal(size=(40, 3)).tolist()
    for task, k in (("last_letter_concatenation", 4), ("svamp", 8)):
        chosen, _ = select(*world(points, task=task), ExemplarSettings(), ["few_shot_unfiltered"])
        assert chosen.num_rows == k
    same = {i: {"question": "The same?" if i else "Another?"} for i in range(10)}
    assert len(choose(*world(TWO, questions=same), n_clusters=8)) == 2


def test_the_choice_is_independent_of_row_order_and_chunks() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(120, 8)).tolist()
    samples = {int(i): WRONG for i in rng.choice(120, 60, replace=False)}
    questions, vectors, zero_shot = world(points, samples)
    settings = ExemplarSettings(n_clusters=6, per_cluster=2)
    straight = select(questions, vectors, zero_shot, settings, BOTH)

    def shuffled(t: pa.Table) -> pa.Table:
        t = t.take(rng.permutation(t.num_rows))
        return pa.concat_tables([t.slice(i, 17) for i in range(0, t.num_rows, 17)])

    mixed = select(shuffled(questions), shuffled(vectors), shuffled(zero_shot), settings, BOTH)
    assert mixed[0].equals(straight[0])
    assert mixed[1].equals(straight[1])


def test_rounding_noise_in_embeddings_changes_no_choice() -> None:
    rng = np.random.default_rng(4)
    points = rng.normal(size=(200, 16)).astype(np.float32)
    noisy = points + rng.normal(scale=1e-7, size=points.shape).astype(np.float32)
    chosen = [choose(*world(p.tolist()), n_clusters=8) for p in (points, noisy)]
    assert [e["question_id"] for e in chosen[0]] == [e["question_id"] for e in chosen[1]]


def test_only_greedy_zero_shot_samples_count() -> None:
    questions, vectors, zero_shot = world(TWO)
    extra = table([r | {"degree": 8} | WRONG for r in zero_shot.to_pylist()], SAMPLES)
    chosen = choose(questions, vectors, pa.concat_tables([extra, zero_shot]))
    assert of_first(chosen)["question_id"] == "q000"


def test_leave_one_out_knows_a_question_by_id_and_by_text() -> None:
    exemplars = choose(*world(TWO))
    ids = [e["question_id"] for e in exemplars]
    assert [e["question_id"] for e in leave_one_out(exemplars, "other", "Something else?")] == ids
    assert [e["question_id"] for e in leave_one_out(exemplars, "q000", "Edited?")] == ["q005"]
    assert [e["question_id"] for e in leave_one_out(exemplars, "other", "question NUMBER 5 ?")] == ["q000"]


@given(st.text())
def test_an_exemplar_rationale_is_one_line(text: str) -> None:
    line = exemplar_rationale(text)
    assert line == " ".join(line.split())
    assert "\n" not in line


# --- clusters --------------------------------------------------------------------------------------------------------


def blobs(n: int, k: int, d: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    return (rng.normal(scale=6, size=(k, d))[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


def test_the_sampled_start_agrees_with_exact_k_means() -> None:
    x, _ = blobs(10_000, 8)
    exact = cluster(x, 8, seed=192, n_init=10)
    sampled = cluster(x, 8, seed=192, n_init=10, largest_exact=100_000)
    assert (exact.start, sampled.start) == ("exact", "started on 1250 rows")
    assert sampled.inertia < exact.inertia * 1.001
    assert adjusted_rand_score(exact.labels, sampled.labels) > 0.99


@pytest.mark.parametrize("how", ["silhouette", "inertia"])
def test_the_number_of_clusters_is_found(how: Any) -> None:
    x, _ = blobs(600, 4)
    assert choose_k(x, 9, how, seed=1, n_init=5) == 4


def test_chosen_k_reaches_the_exemplars() -> None:
    x, _ = blobs(90, 3)
    assert len(choose(*world(x.tolist()), n_clusters=8, n_clusters_by="silhouette")) == 3


def test_distances_are_to_the_own_centre() -> None:
    x, _ = blobs(300, 3)
    found = cluster(x, 3, seed=0, n_init=2)
    np.testing.assert_allclose(found.distances, np.linalg.norm(x - found.centres[found.labels], axis=1), rtol=1e-5)
    assert found.inertia == pytest.approx(float((found.distances.astype(float) ** 2).sum()), rel=1e-4)


def test_the_map_keeps_the_largest_spread() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros((50, 6), np.float32)
    x[:, 2] = rng.normal(scale=9, size=50)
    x[:, 4] = rng.normal(scale=1, size=50)
    flat = plane(x)
    assert flat.shape == (50, 2)
    assert abs(np.corrcoef(flat[:, 0], x[:, 2])[0, 1]) > 0.99
    assert plane(x[:1]).tolist() == [[0, 0]]
    assert plane(x[:2]).shape == (2, 2)


# --- own exemplars ---------------------------------------------------------------------------------------------------


def write(path: Path, lines: Sequence[Any]) -> str:
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8")
    return str(path)


OWN = {"task": "svamp", "question": "Question number 3?", "rationale": "Two and\nthree make five.", "answer": 5.0}


def test_own_exemplars_replace_clustering(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [OWN, "", OWN | {"question": "New?"}, OWN | {"task": "coin_flip"}])
    questions, _, zero_shot = world(TWO)
    exemplars, places = select(questions, EMBEDDINGS.empty_table(), zero_shot, ExemplarSettings(file=path), BOTH)
    rows = [e for e in exemplars.to_pylist() if e["method"] == "few_shot_unfiltered"]
    assert [e["question"] for e in rows] == ["Question number 3?", "New?"]
    assert rows[0]["question_id"] == "q003"  # so that leave-one-out knows it
    assert rows[0]["rationale"] == "Two and three make five."
    assert rows[0]["answer"] == "5"
    assert exemplars.num_rows == 4
    assert places.num_rows == 0


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([OWN, "{not json"], r"own\.jsonl, line 2.*no JSON"),
        ([OWN, "[1]"], r"own\.jsonl, line 2.*not an object"),
        ([OWN | {"rationale": " "}], r"line 1.*'rationale' is missing"),
        ([OWN | {"question": 7}], r"line 1.*'question' is missing or no text"),
        ([OWN | {"task": "coin_flip"}], "no exemplar for task svamp"),
    ],
)
def test_a_bad_exemplar_file_is_named_with_its_line(tmp_path: Path, lines: list[Any], told: str) -> None:
    path = write(tmp_path / "own.jsonl", lines)
    with pytest.raises(UserError, match=told):
        choose(*world(TWO), file=path)


def test_a_missing_exemplar_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"exemplars\.file.*nowhere\.jsonl"):
        choose(*world(TWO), file=str(tmp_path / "nowhere.jsonl"))


# --- as a Ray task ---------------------------------------------------------------------------------------------------


def test_selection_as_a_ray_task_gives_the_same_and_passes_errors_on(local_ray: None) -> None:
    parts = world(TWO, {0: WRONG})
    settings = ExemplarSettings(n_clusters=2)
    assert select_remote(*parts, settings, BOTH)[0].equals(select(*parts, settings, BOTH)[0])
    with pytest.raises(UserError, match="none of the teacher's 10") as caught:
        select_remote(*world(TWO, dict.fromkeys(range(10), WRONG)), settings, BOTH)
    assert "exemplars.file" in caught.value.hint

"""Curation: which rationales are kept, and the reason of every other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import GOOD, NONE, questions, samples

from raydistill.config import CurationSettings
from raydistill.curation.curate import curate
from raydistill.curation.diversity import grams, likeness, most_different, similarity, summary
from raydistill.tables import TRAINING

OTHER = "Adding the two apples to those he had makes five, that is 5."
ONE = questions("train")


def curated(zero_shot: pa.Table, asked: pa.Table = ONE, **settings: Any) -> list[dict[str, Any]]:
    made = curate(asked, zero_shot, NONE, CurationSettings(**settings), ["fine_tune_cot"], [1, 8])
    assert made.schema.equals(TRAINING)
    return made.to_pylist()


def why(row: dict[str, Any]) -> tuple[str, str]:
    return row["reason"], row["reason_detail"]


@pytest.mark.parametrize(
    ("sample", "reason", "detail"),
    [
        ({}, "", ""),
        ({"correct": False, "prediction": "6"}, "wrong_answer", "6"),
        ({"correct": False, "prediction": None}, "no_answer", ""),
        ({"correct": False, "prediction": None, "error": "HTTP 500", "error_kind": "transient"}, "failed", "transient"),
        ({"correct": False, "prediction": None, "error": "HTTP 500"}, "failed", "HTTP 500"),
        ({"rationale": " \n"}, "empty_rationale", ""),
        ({"rationale": " The answer is 5."}, "empty_rationale", ""),
    ],
)
def test_a_rationale_is_kept_for_a_right_answer_and_the_others_say_why(
    sample: dict[str, Any], reason: str, detail: str
) -> None:
    (row,) = curated(samples(sample))
    assert (row["kept"], row["reason"], row["reason_detail"]) == (not reason, reason, detail)
    assert row["answer"] == "5.0"  # the gold answer, as the benchmark prints it
    assert row["question"] == "How many, 0?"


def test_the_training_text_is_the_reasoning_alone_unless_told() -> None:
    raw = samples({"rationale": f" {GOOD} Therefore, the answer is 5.\n\nQ: What next?\nA: Nothing."})
    assert curated(raw)[0]["rationale"] == GOOD
    assert curated(raw, clean=False)[0]["rationale"].endswith("A: Nothing.")
    only_answer = samples({"rationale": " The answer is 5."})
    assert curated(only_answer, clean=False)[0]["kept"]  # Ho et al. filter by the answer alone


def test_test_questions_never_reach_training() -> None:
    asked = questions("train", "test", "test_unseen")
    rows = samples(*({"question_id": f"q{i}", "split": s} for i, s in enumerate(asked["split"].to_pylist())))
    lying = samples({"question_id": "q1", "split": "train"})  # the questions decide, not the samples
    everything = ["vanilla", "fine_tune_cot"]
    made = curate(asked, pa.concat_tables([rows, lying]), NONE, CurationSettings(), everything, [1])
    assert set(made["question_id"].to_pylist()) == {"q0"}
    assert Counter(made["method"].to_pylist()) == {"vanilla": 1, "fine_tune_cot": 1}


def test_methods_and_degrees_choose_the_candidates() -> None:
    asked = questions("train", "train")
    zero = samples(*({"question_id": f"q{q}", "degree": d} for q in (0, 1) for d in (1, 8)))
    few = samples(
        *(
            {"question_id": f"q{q}", "degree": 8, "method": m, "sample_index": i}
            for q in (1, 0)
            for m in ("new_fine_tune_cot", "few_shot_unfiltered")
            for i in (1, 0)
        )
    )
    made = curate(asked, zero, few, CurationSettings(), ["new_fine_tune_cot", "vanilla"], [8]).to_pylist()
    keys = [(r["method"], r["degree"], r["question_id"], r["sample_index"]) for r in made]
    assert keys == [("new_fine_tune_cot", 8, q, i) for q in ("q0", "q1") for i in (0, 1)] + [
        ("vanilla", 1, q, 0) for q in ("q0", "q1")
    ]
    assert all(r["kept"] and r["rationale"] == "" for r in made if r["method"] == "vanilla")


def test_the_order_of_the_samples_does_not_matter() -> None:
    texts = [GOOD, OTHER, GOOD + " Yes.", "He has 5.", OTHER + " Well.", GOOD]
    rows = samples(
        *(
            {"question_id": f"q{q}", "degree": 8, "sample_index": i, "rationale": t}
            for q in (0, 1)
            for i, t in enumerate(texts)
        )
    )
    settings = CurationSettings(drop_duplicates=True, keep_most_different=2, check_steps=True)
    asked = questions("train", "train")
    straight = curate(asked, rows, NONE, settings, ["fine_tune_cot"], [8])
    mixed = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    assert curate(asked, mixed, NONE, settings, ["fine_tune_cot"], [8]).equals(straight)
    assert sum(straight["kept"].to_pylist()) == 4


def test_steps_are_checked_on_request() -> None:
    lucky = samples({"rationale": " He has 3 + 3 = 5, so 5."})
    assert curated(lucky)[0]["kept"]
    assert why(curated(lucky, check_steps=True)[0]) == ("step_does_not_hold", "3 + 3 = 5")
    cut = samples({"rationale": " 1 + 1 = 2. Then we add."})
    assert why(curated(cut, check_steps=True)[0]) == ("does_not_reach_answer", "5 is not in the rationale")
    # The answer sentence is cut off the training text, but is checked.
    other = samples({"rationale": " He has some. The answer is 6."})
    assert why(curated(other, check_steps=True)[0]) == ("contradicts_answer", "says 6, answers 5")


def many(*texts: str) -> pa.Table:
    return samples(*({"degree": 8, "sample_index": i, "rationale": t} for i, t in enumerate(texts)))


def test_repetitions_are_dropped_on_request() -> None:
    rows = many(GOOD, OTHER, "  " + GOOD.replace(" ", "  "), GOOD)
    assert all(r["kept"] for r in curated(rows))
    assert [why(r) for r in curated(rows, drop_duplicates=True)] == [
        ("", ""),
        ("", ""),
        ("repeated", "sample 0"),
        ("repeated", "sample 0"),
    ]


def test_a_dropped_rationale_is_no_reason_to_drop_its_twin() -> None:
    rows = samples(
        {"degree": 8, "correct": False, "prediction": "6"},
        {"degree": 8, "sample_index": 1},
    )
    assert [r["kept"] for r in curated(rows, drop_duplicates=True, keep_most_different=1)] == [False, True]


def test_the_most_different_rationales_are_kept() -> None:
    rows = many(GOOD, GOOD + " Yes.", OTHER, GOOD + " Well then.")
    found = curated(rows, keep_most_different=2)
    assert [r["kept"] for r in found] == [True, False, True, False]
    assert found[1]["reason"] == "too_similar"
    assert found[1]["reason_detail"].startswith("sample 0: 0.")
    assert all(r["kept"] for r in curated(rows, keep_most_different=4))


def test_nothing_in_nothing_out() -> None:
    assert curate(questions(), NONE, NONE, CurationSettings(), ["vanilla", "fine_tune_cot"], [1]).num_rows == 0


@given(st.lists(st.text(alphabet="ab 1.", max_size=40), min_size=1, max_size=9), st.integers(1, 9))
def test_most_different_chooses_so_many_and_explains_the_rest(texts: list[str], number: int) -> None:
    chosen, rest = most_different(texts, number)
    assert len(chosen) == min(number, len(texts))
    assert chosen[0] == 0
    assert sorted([*chosen, *rest]) == list(range(len(texts)))
    for i, (like, how_much) in rest.items():
        best = max(similarity(grams(texts[i]), grams(texts[c])) for c in chosen)
        assert like in chosen
        assert how_much == best == similarity(grams(texts[i]), grams(texts[like]))


def test_similarity_is_of_word_trigrams() -> None:
    assert similarity(grams("One, two three four"), grams("one two THREE four!")) == 1
    assert similarity(grams("one two three four"), grams("two three four five")) == pytest.approx(1 / 3)
    assert similarity(grams("one"), grams("two")) == 0
    assert likeness([GOOD, GOOD, GOOD + " So.", OTHER])[0] == 0.5
    assert likeness([GOOD, GOOD]) == (0.5, 1)
    assert likeness([GOOD]) == likeness([]) == (0, 0)


def test_the_summary_tells_how_alike_samples_are() -> None:
    asked = questions("train", "train", "train")
    rows = pa.concat_tables(
        [
            many(GOOD, GOOD, GOOD, OTHER),
            samples({"question_id": "q1", "degree": 8}, {"question_id": "q1", "degree": 8, "rationale": OTHER}),
            samples({"question_id": "q2", "degree": 8}, {"question_id": "q2"}),
        ]
    )
    made = curate(asked, rows, NONE, CurationSettings(), ["fine_tune_cot", "vanilla"], [1, 8])
    (found,) = summary(made)
    assert found._asdict() == {
        "task": "svamp",
        "method": "fine_tune_cot",
        "degree": 8,
        "questions": 2,
        "rationales": 6,
        "distinct": 4,
        "near_duplicate_fraction": pytest.approx(0.25),
        "mean_similarity": pytest.approx((3 / 6 + 0) / 2, abs=0.05),
    }

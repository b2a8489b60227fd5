"""The teacher as LLM judge: what it is asked, how replies are read, what is dropped, and the stage end to end."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import finished, tiny
from support.samples import GOOD, NONE, questions, samples

from raydistill import pipeline, tasks
from raydistill.config import CurationSettings, Settings, SimulatedSettings
from raydistill.curation import judge_stage
from raydistill.curation.curate import curate
from raydistill.method import llm_judge
from raydistill.runtime.errors import TeacherError
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.simulated.puzzles import Intent, recognise
from raydistill.simulated.replies import reply as teacher_reply
from raydistill.tables import JUDGEMENTS
from raydistill.teacher import estimate


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        *(
            (text, "yes")
            for text in (" Yes.", "yes", "\n\n**Yes**", "Yes, it does.", "Yes it does", '"Yes"', "Verdict: yes")
        ),
        *((text, "no") for text in (" No.", "NO", "No, the second flip is wrong.", "No - see step 2", "No\nStep 2.")),
        ("No because the second flip is wrong.", "no"),
        ("The coin is tails up, so the answer is no.", "unclear"),
        ("Every step holds; the answer: yes", "unclear"),
        ("Every step is valid. Yes.", "yes"),
        ("My verdict is no.", "no"),
        ("Yes or no? No.", "no"),
        ("Yes.\n\nQ: And now?\nA: No.", "yes"),
        *((t, "unclear") for t in ("", "No errors were found.", "There is no mistake in it.", "Perhaps.", "yesterday")),
    ],
)
def test_a_verdict_is_a_word_that_stands_by_itself(reply: str, verdict: str) -> None:
    assert llm_judge.verdict(reply) == verdict


@given(st.text(max_size=200) | st.text(alphabet="yesnoYESNO .*\n-", max_size=60))
def test_any_reply_has_a_verdict(reply: str) -> None:
    assert llm_judge.verdict(reply) in ("yes", "no", "unclear")


def settings(**curation: Any) -> Settings:
    methods = ["vanilla", "fine_tune_cot"]
    return Settings.model_validate({"students": {"methods": methods, "degrees": [1, 8]}, "curation": curation})


def test_what_would_be_kept_is_asked_and_nothing_else() -> None:
    asked = questions("train", "train", "test", "train")
    zero = samples(
        {"degree": 8, "sample_index": 3, "rationale": f" {GOOD} The answer is 5.\n\nQ: What next?\nA: Nothing."},
        {"degree": 8, "sample_index": 4},  # repeats the one before, for which nothing is paid again
        {"question_id": "q1", "correct": False, "prediction": "6"},
        {"question_id": "q2", "split": "test"},
        {"question_id": "q3", "rationale": " 3 + 3 = 5."},
    )
    rows = judge_stage.judge_prompts(asked, zero, NONE, settings(check_steps=True, drop_duplicates=True)).to_pylist()
    assert [(r["question_id"], r["degree"], r["sample_index"]) for r in rows] == [("q0", 8, 3), ("q0", 8, 4)]
    assert rows[0]["prompt"] == rows[1]["prompt"] == llm_judge.prompt("How many, 0?", GOOD, "5")
    assert rows[0]["prompt"] == (
        "Q: How many, 0?\nA: Tom has 3 apples. He gets 2 more, so 3 + 2 = 5. The answer is 5.\n\nIs every step of this "
        "reasoning valid, and does the reasoning lead to this answer? Reply with yes or no.\nVerdict:"
    )
    unchecked = judge_stage.judge_prompts(asked, zero, NONE, settings())
    assert sorted(unchecked["question_id"].to_pylist()) == ["q0", "q0", "q3"]


def judgements(*rows: tuple[str, str, str]) -> pa.Table:
    base = dict.fromkeys(JUDGEMENTS.names) | {"task": "svamp", "method": "fine_tune_cot", "degree": 1}
    named = [base | {"question_id": q, "sample_index": 0, "verdict": v, "reply": reply} for q, v, reply in rows]
    return pa.Table.from_pylist(named, JUDGEMENTS)


def test_a_no_drops_a_rationale_and_strict_drops_all_but_a_yes() -> None:
    asked = questions(*["train"] * 6)
    zero = samples(*({"question_id": f"q{i}"} for i in range(6)))
    told = judgements(
        ("q0", "yes", " Yes."),
        ("q1", "no", " No, the second\nstep is wrong.\nQ: x"),
        ("q2", "unclear", " Perhaps."),
        ("q3", "unjudged", ""),
        ("q4", "failed", ""),
    )

    def reasons(**curation: Any) -> list[str]:
        made = curate(asked, zero, NONE, CurationSettings(**curation), ["fine_tune_cot"], [1], told)
        kept = made["kept"].to_pylist()
        assert made["reason"].to_pylist() == ["" if k else "llm_judge" for k in kept]
        assert [detail == "" for detail in made["reason_detail"].to_pylist()] == kept
        return made["reason_detail"].to_pylist()

    no = "No, the second step is wrong."
    assert reasons() == ["", no, "", "", "", ""]
    maybe = ["Perhaps.", "unjudged", "failed"]
    assert reasons(llm_judge_strict=True) == ["", no, *maybe, ""]  # the last was not asked about


def test_a_refused_rationale_makes_no_other_a_repetition() -> None:
    asked, zero = questions("train"), samples({}, {"sample_index": 1, "rationale": f"  {GOOD}"})
    told = judgements(("q0", "no", "No."))
    made = curate(asked, zero, NONE, CurationSettings(drop_duplicates=True), ["fine_tune_cot"], [1], told)
    assert made["kept"].to_pylist() == [False, True]


@pytest.mark.parametrize("task", ["coin_flip", "last_letter_concatenation", "tracking_shuffled_objects"])
def test_the_simulated_teacher_sees_through_its_own_lucky_rationales(task: str) -> None:
    from raydistill.config import QuestionSettings

    source = {"tasks": [task], "source": "generated", "generated_size": 120}
    rows = tasks.load_questions(QuestionSettings.model_validate(source), 0).to_pylist()
    seen: dict[float, Counter[tuple[bool, str]]] = {1.0: Counter(), 0.7: Counter()}
    for i, row in enumerate(rows):
        puzzle, rng, lucky = recognise(row["question"]), Random(i), bool(i % 2)
        text = puzzle.rationale(puzzle.attempt(Intent(right=True, lucky=lucky), rng), rng, sure=True)
        for accuracy, counts in seen.items():
            how = SimulatedSettings(judge_accuracy=accuracy, run_on_fraction=0)
            reply = teacher_reply(llm_judge.prompt(row["question"], text, row["answer"]), -1, how)
            counts[lucky, llm_judge.verdict(reply)] += 1
    perfect, fair = seen[1.0], seen[0.7]
    assert not perfect[True, "yes"]
    assert not perfect[False, "no"]
    assert perfect.total() - perfect[True, "unclear"] - perfect[False, "unclear"] > 105
    right = fair[True, "no"] + fair[False, "yes"]
    assert 0.5 < right / fair.total() < 0.85


def run(run_dir: Path, student: Path, curation: dict[str, Any], **teacher: Any) -> tuple[Store, str]:
    """The pipeline with a teacher of many lucky rationales; what it printed comes along."""
    simulated = {"lucky_fraction": 0.5, "judge_accuracy": 1.0, "latency_s": 0.0}
    students = {"methods": ["new_fine_tune_cot"], "degrees": [2], "evaluate_untrained": False, "max_steps": 1}
    told = tiny(
        run_dir,
        student,
        students=students,
        curation=curation,
        teacher={"kind": "simulated", "simulated": simulated, **teacher},
    )
    out = io.StringIO()
    pipeline.run(told, Progress(out))
    return Store(told.run_path), out.getvalue()


@pytest.mark.usefixtures("local_ray")
def test_the_pass_end_to_end_its_budget_and_its_journal(tmp_path: Path, tiny_gpt2: Path) -> None:
    small = {"llm_judge": True, "llm_judge_budget_tokens": 2000}
    store, printed = run(tmp_path, tiny_gpt2, small)
    first = store.read("judgements")
    verdicts = Counter(first["verdict"].to_pylist())
    right = [row for row in store.read("few_shot").to_pylist() if row["correct"] and row["split"] == "train"]
    assert verdicts.total() == len(right)
    assert verdicts["unjudged"] > 0 < verdicts["yes"] + verdicts["no"]
    assert f"{verdicts['unjudged']} unjudged" in printed
    assert "the budget is used up" in printed
    training = store.read("training").to_pylist()
    assert sum(row["kept"] for row in training) == len(right) - verdicts["no"]  # what is not judged is kept
    [book] = [row for row in store.read("ledger").to_pylist() if row["stage"] == "llm_judge"]
    assert book["kind"] == "judgement"
    assert 1500 < book["prompt_tokens"] + book["completion_tokens"] <= 2000
    assert 0 < book["calls"] <= pc.sum(first["calls"]).as_py() < len(right)  # the same text twice: one call

    before = finished(store)
    run(tmp_path, tiny_gpt2, small)
    assert finished(store) == before  # nothing is done again, whatever the budget left out

    store, printed = run(tmp_path, tiny_gpt2, {"llm_judge": True})
    after = store.read("judgements").to_pylist()
    verdicts = Counter(row["verdict"] for row in after)
    assert not verdicts["unjudged"]
    assert verdicts["no"] > 0.25 * len(right)
    [again] = [row for row in store.read("ledger").to_pylist() if row["stage"] == "llm_judge"]
    assert again["reused"] == book["calls"]  # bought once
    reasons = Counter(store.read("training")["reason"].to_pylist())
    assert reasons["llm_judge"] == verdicts["no"]
    page = Path(store.path, "report.html").read_text(encoding="utf-8")
    assert f"{verdicts['no']} LLM judge: rejected" in page
    assert "<td>llm-judge</td>" in page


def test_the_estimate_has_a_line_for_the_judge_within_its_budget() -> None:
    price = {"teacher": {"price": {"input": 1.5, "output": 2.0}}}
    told = Settings.model_validate(settings(llm_judge=True).model_dump() | price)
    asked = tasks.load_questions(told.questions, 0)
    costs, text = estimate.estimate(asked, told)
    mine = [cost for cost in costs if cost.stage == "llm_judge"]
    train = pc.sum(pc.equal(asked["split"], "train")).as_py()
    assert [(c.method, c.degree, c.questions) for c in mine] == [("fine_tune_cot", d, train) for d in (1, 8)]
    assert [c.calls for c in mine] == [round(0.8 * train), round(0.8 * 8 * train)]
    assert "train rationales to judge" in text
    capped = Settings.model_validate(
        told.model_dump() | {"curation": {"llm_judge": True, "llm_judge_budget_usd": 0.01}}
    )
    assert all(c.usd_at_most == 0.01 for c in estimate.estimate(asked, capped)[0] if c.stage == "llm_judge")
    plain = Settings.model_validate(told.model_dump() | {"curation": {}})
    assert not any(c.stage == "llm_judge" for c in estimate.estimate(asked, plain)[0])


def test_a_cap_in_dollars_needs_a_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-0123456789")
    told = tiny(
        tmp_path,
        tmp_path,
        curation={"llm_judge": True, "llm_judge_budget_usd": 1},
        teacher={"kind": "api", "model": "nobody-knows-it", "api_key_env": "SOME_KEY"},
    )
    with pytest.raises(TeacherError, match=r"No price is known.*--curation\.llm_judge_budget_usd cannot be kept"):
        pipeline.run(told, Progress(io.StringIO()))

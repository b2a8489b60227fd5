"""The estimate before a run, without a call."""

from __future__ import annotations

import gc
import time

import pyarrow as pa

from raydistill.config import Settings
from raydistill.tables import QUESTIONS
from raydistill.teacher import estimate


def questions(n: int) -> pa.Table:
    rows = []
    for i in range(n):
        rows.append(
            {"task": "svamp", "split": "train", "question_id": f"q{i}", "question": "How many? " * (1 + i % 7)}
            | {"answer": "5", "answer_type": "number", "choices": [], "source_row": i}
        )
    return pa.Table.from_pylist(rows, schema=QUESTIONS)


def test_an_estimate_takes_time_in_proportion_to_the_questions() -> None:
    settings = Settings.model_validate({"students": {"methods": ["new_fine_tune_cot"]}})

    def seconds(n: int) -> float:
        table = questions(n)
        started = time.process_time()
        costs, _ = estimate.estimate(table, settings)
        assert [(cost.stage, cost.questions) for cost in costs] == [("zero_shot", n), ("few_shot", n)]
        return time.process_time() - started

    gc.disable()  # collections of garbage take as long as the other tests have left objects behind
    try:
        pairs = [(seconds(2_000), seconds(16_000)) for _ in range(2)]
    finally:
        gc.enable()
    small, large = (min(times) for times in zip(*pairs, strict=True))
    assert large / small < 24  # 8 if it is linear; with every row's own mean, above 40

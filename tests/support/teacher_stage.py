"""A teacher stage against the simulated teacher over real HTTP: settings, prompts, runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa

from raydistill import simulated
from raydistill.config import Settings
from raydistill.method import prompts
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.tables import LEDGER, PROMPTS
from raydistill.teacher import ledger, stage
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.open_endpoint import open_endpoint

KEY = "sk-stage-0123456789"  # in the environment variable STAGE_KEY


def settings_for(server: simulated.Teacher, folder: Path, **teacher: Any) -> Settings:
    at = {"kind": "api", "base_url": server.base_url, "model": server.model, "api_key_env": "STAGE_KEY", "seed": 3}
    price = {"input": 1.0, "output": 2.0}
    return Settings.model_validate(
        {"run_dir": str(folder), "teacher": {**at, "backoff_s": 0.01, "price": price, "num_actors": 1, **teacher}}
    )


def prompt_table(n: int, *, degree: int = 1, adaptive: bool = False, first: int = 0) -> pa.Table:
    """PROMPTS about `n` questions, all with the answer 5."""
    rows = []
    for i in range(first, first + n):
        question = f"Ann has {i} apples and gets 2 more. How many apples has she?"
        prompt = prompts.zero_shot(question)
        if adaptive:
            exemplar = {"question": "What is 1 + 1?", "rationale": "It is 2.", "answer": "2"}
            prompt = prompts.few_shot(prompts.exemplar_block([exemplar]), question)
        rows.append(
            {"task": "custom", "split": "train", "question_id": f"q{i:05}", "question": question, "answer": "5.0"}
            | {"answer_type": "number", "choices": [], "source_row": i}
            | {"method": "new_fine_tune_cot" if adaptive else "fine_tune_cot", "degree": degree, "prompt": prompt}
            | {"max_tokens": 128, "temperature": 0.7 if degree > 1 else 0.0, "adaptive": adaptive}
        )
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def run(name: str, table: pa.Table, settings: Settings, budget: Budget | None = None) -> pa.Table:
    store = Store(settings.run_path)
    with open_endpoint(settings.teacher) as endpoint:
        return stage.run(name, table, settings, endpoint, store, Progress(io.StringIO()), budget)


def total(store: Store) -> dict[str, float]:
    """The run's ledger, summed."""
    table = ledger.load(store)
    assert table.schema.equals(LEDGER)
    figures = [name for name in LEDGER.names if name not in ("stage", "task", "kind")]
    return {name: sum(table[name].to_pylist()) for name in figures}

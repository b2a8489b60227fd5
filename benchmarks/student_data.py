"""Training texts for the student benchmarks: the benchmarks' questions, rationales of the simulated teacher."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tasks
from raydistill.config import QuestionSettings, SimulatedSettings
from raydistill.method.answers import clean_rationale
from raydistill.method.prompts import zero_shot
from raydistill.simulated.replies import GREEDY, reply

GENERATED = ["coin_flip", "last_letter_concatenation", "tracking_shuffled_objects"]


def load(names: list[str], rows: int) -> tuple[pa.Table, dict[str, pa.Table]]:
    """QUESTIONS, and for each task `rows` training rows (question_id, question, rationale, answer)."""
    questions = tasks.load_questions(QuestionSettings(tasks=names), seed=0)
    texts = {}
    for task in names:
        train = questions.filter((pc.field("task") == task) & (pc.field("split") == "train")).slice(0, rows)
        wrote = [
            reply(zero_shot(q), GREEDY, SimulatedSettings(run_on_fraction=0), a)
            for q, a in zip(train["question"].to_pylist(), train["answer"].to_pylist(), strict=True)
        ]
        rationales = pa.array([clean_rationale(text) for text in wrote], pa.string())
        texts[task] = train.select(["question_id", "question", "answer"]).append_column("rationale", rationales)
    return questions, texts

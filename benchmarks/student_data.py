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
TEACHER = SimulatedSettings(run_on_fraction=0)


def load(names: list[str], rows: int) -> tuple[pa.Table, dict[str, pa.Table]]:
    """Return QUESTIONS, and for each task `rows` training rows (question_id, question, rationale, answer)."""
    questions = tasks.load_questions(QuestionSettings(tasks=names), seed=0)
    is_train = pc.field("split") == "train"
    training = {}
    for task in names:
        train = questions.filter((pc.field("task") == task) & is_train).slice(0, rows)
        rationales = []
        for question, answer in zip(train["question"].to_pylist(), train["answer"].to_pylist(), strict=True):
            text = reply(zero_shot(question), GREEDY, TEACHER, answer)
            rationales.append(clean_rationale(text))
        columns = train.select(["question_id", "question", "answer"])
        training[task] = columns.append_column("rationale", pa.array(rationales, pa.string()))
    return questions, training

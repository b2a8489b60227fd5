"""The questions, the teacher's samples and the training rows of each arm of step_checks.py."""

from __future__ import annotations

from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tasks
from raydistill.config import CurationSettings, QuestionSettings, Settings, SimulatedSettings, StudentSettings
from raydistill.curation import judge_stage
from raydistill.curation.candidates import KEY
from raydistill.curation.curate import curate
from raydistill.method import answers, llm_judge, prompts
from raydistill.simulated.replies import GREEDY, reply
from raydistill.tables import SAMPLES

METHOD = "new_fine_tune_cot"
EXEMPLARS = 8
CHECKED = "steps checked"
UNCHECKED = "right answers, as many"
UNCHECKED_ALL = "right answers, all"
JUDGED = "LLM judge"


def load_questions(task: str, train: int, test: int) -> pa.Table:
    """Generate QUESTIONS with so many of each split."""
    size = round((train + test) / 0.6)
    settings = QuestionSettings.model_validate(
        {
            "tasks": [task],
            "source": "generated",
            "generated_size": size,
            "limit_train": train,
            "limit_test": test,
        }
    )
    return tasks.load_questions(settings, seed=0)


def teach(questions: pa.Table, teacher: SimulatedSettings) -> pa.Table:
    """Return SAMPLES: the teacher's few-shot dialogue on each train question but the exemplars, which are sound."""
    train = questions.filter(pc.field("split") == "train").to_pylist()
    block = exemplar_block(train[:EXEMPLARS])
    rows = [sample_row(question, block, teacher) for question in train[EXEMPLARS:]]
    return pa.Table.from_pylist(rows, SAMPLES)


def exemplar_block(questions: list[dict[str, Any]]) -> str:
    """Return the exemplars that a teacher without mistakes writes."""
    sure = SimulatedSettings(zero_shot_accuracy=1.0, lucky_fraction=0.0)
    exemplars = []
    for question in questions:
        text = reply(prompts.zero_shot(question["question"]), GREEDY, sure)
        exemplars.append(question | {"rationale": answers.clean_rationale(text)})
    return prompts.exemplar_block(exemplars)


def sample_row(question: dict[str, Any], block: str, teacher: SimulatedSettings) -> dict[str, Any]:
    """Return the row of SAMPLES of one question: its rationale and the answer, from an answer call if it has none."""
    options = answer_options(question)
    rationale = reply(prompts.few_shot(block, question["question"]), GREEDY, teacher).split("\nQ:")[0]
    contained = answers.find_in_rationale(rationale, **options)
    if contained:
        prediction: str | None = contained.answer
    else:
        answer_call = prompts.answer_call(question["question"], rationale, task=question["task"])
        prediction = answers.extract(reply(answer_call, GREEDY, teacher), **options)
    row: dict[str, Any] = {}
    for field in SAMPLES:
        row[field.name] = "" if pa.types.is_string(field.type) else None
    for name in ("task", "split", "question_id"):
        row[name] = question[name]
    row |= {"method": METHOD, "degree": 1, "sample_index": 0, "rationale": rationale, "prediction": prediction}
    row["correct"] = answers.is_correct(prediction, question["answer"], answer_type=question["answer_type"])
    return row


def answer_options(question: dict[str, Any]) -> dict[str, Any]:
    """Return what answer extraction needs to know of a question."""
    return {"answer_type": question["answer_type"], "choices": question["choices"] or ()}


def training_tables(
    questions: pa.Table, samples: pa.Table, teacher: SimulatedSettings, *, judge: bool
) -> dict[str, pa.Table]:
    """Return the kept rows of TRAINING for each arm."""
    checked = kept_rows(questions, samples, CurationSettings(check_steps=True))
    right = kept_rows(questions, samples, CurationSettings())
    arms = {CHECKED: checked, UNCHECKED: draw(right, checked.num_rows), UNCHECKED_ALL: right}
    if judge:
        judgements = judge_samples(questions, samples, teacher)
        approved = kept_rows(questions, samples, CurationSettings(llm_judge_strict=True), judgements)
        arms[JUDGED] = draw(approved, checked.num_rows)
    return arms


def kept_rows(
    questions: pa.Table, samples: pa.Table, settings: CurationSettings, judgements: pa.Table | None = None
) -> pa.Table:
    """Curate the samples, and return what is kept of TRAINING."""
    no_samples = SAMPLES.empty_table()
    training = curate(questions, no_samples, samples, settings, [METHOD], [1], judgements)
    return training.filter(training["kept"])


def judge_samples(questions: pa.Table, samples: pa.Table, teacher: SimulatedSettings) -> pa.Table:
    """Return JUDGEMENTS: the verdicts of the teacher as LLM judge."""
    settings = Settings(students=StudentSettings(methods=[METHOD]))
    requests = judge_stage.judge_prompts(questions, SAMPLES.empty_table(), samples, settings)
    replies = [reply(prompt, GREEDY, teacher) for prompt in requests["prompt"].to_pylist()]
    verdicts = [llm_judge.verdict(text) for text in replies]
    judgements = requests.select(list(KEY))
    judgements = judgements.append_column("verdict", pa.array(verdicts, pa.string()))
    return judgements.append_column("reply", pa.array(replies, pa.string()))


def draw(table: pa.Table, n: int) -> pa.Table:
    """Return `n` rows at random, in their order."""
    size = min(n, table.num_rows)
    rows = sorted(Random(0).sample(range(table.num_rows), size))
    return table.take(pa.array(rows, pa.int64()))

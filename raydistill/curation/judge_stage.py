"""The stage in which the teacher judges its own rationales (its words: method/llm_judge.py).

An answer filter cannot see bad reasoning, and step checks (`method/steps.py`) read only what they know. With
`curation.llm_judge`, each rationale that would be kept is put to the teacher once more, in a stage of its own with a
budget of its own. The same rationale is never paid for twice: the journal knows its prompt. What a verdict means for a
sample is a rule of curation (`rules.rejected_by_llm_judge`).
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from raydistill import tables
from raydistill.config import Settings
from raydistill.curation import curate
from raydistill.curation.candidates import KEY
from raydistill.method import answers, llm_judge
from raydistill.method.methods import METHODS

STAGE = "llm_judge"


def judge_prompts(questions: pa.Table, zero_shot: pa.Table, few_shot: pa.Table, settings: Settings) -> pa.Table:
    """List what the LLM judge is asked: one prompt for every sample that the other rules for one sample would keep.

    Samples of a question are compared only afterwards, among those that the judge has not rejected.

    Args:
        questions: QUESTIONS.
        zero_shot: SAMPLES of methods with a zero-shot prompt.
        few_shot: SAMPLES of methods with a few-shot prompt.
        settings: all settings of the run.

    Returns:
        Rows of tables.JUDGE_PROMPTS, in the order of TRAINING.
    """
    methods = [name for name in settings.students.methods if METHODS[name].asks_teacher]
    degrees = settings.students.degrees
    training = curate.before_comparison(questions, zero_shot, few_shot, settings.curation, methods, degrees)
    kept = training.filter(training["kept"])
    place = pc.index_in(kept["question_id"], value_set=questions["question_id"].combine_chunks())
    prompt_rows = []
    for row, question in zip(tables.rows(kept), tables.rows(questions.take(place)), strict=True):
        rationale = answers.clean_rationale(row["rationale"])
        answer = answers.canonical(row["answer"], question["answer_type"])
        sample_key = {name: row[name] for name in KEY}
        request = {
            "prompt": llm_judge.prompt(row["question"], rationale, answer),
            "max_tokens": settings.teacher.answer_max_tokens,
            "temperature": 0.0,
            "adaptive": False,
        }
        prompt_rows.append(question | sample_key | request)
    return pa.Table.from_pylist(prompt_rows, schema=tables.JUDGE_PROMPTS)


def read(samples: pa.Table) -> pa.Table:
    """Make JUDGEMENTS from the stage's SAMPLES, whose `answer_text` is the reply.

    What the budget left out is "unjudged" and no error: another request would find the same budget.
    """
    shared = [name for name in tables.JUDGEMENTS.names if name not in ("verdict", "reply")]
    judgements = []
    for row in tables.rows(samples.select([*shared, "answer_text"])):
        row["reply"] = row.pop("answer_text")
        if row["error_kind"] == "budget":
            row["verdict"] = "unjudged"
            row["error"] = ""
        elif row["error_kind"]:
            row["verdict"] = "failed"
        else:
            row["verdict"] = llm_judge.verdict(row["reply"])
        judgements.append(row)
    return pa.Table.from_pylist(judgements, schema=tables.JUDGEMENTS)


def summary(judgements: pa.Table) -> str:
    """Count the verdicts in a sentence for the terminal."""
    counts = Counter(judgements["verdict"].to_pylist())
    by_verdict = ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
    text = f"{judgements.num_rows:,} rationales: {by_verdict}"
    if counts["unjudged"]:
        text += " (the budget is used up; they count as unclear)"
    return text

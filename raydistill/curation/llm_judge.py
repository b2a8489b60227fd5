"""The teacher as the judge of its own rationales: what is asked, how replies are read, what curation makes of them.

An answer filter cannot see bad reasoning, and step checks (`steps`) read only what they know. With
`curation.llm_judge`, each rationale that would be kept is put to the teacher once more, in a stage of its own
(`judge`) with a budget of its own. The same rationale is never paid for twice: the journal knows its prompt.
"""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings
from raydistill.curation import curate
from raydistill.curation.curate import KEY
from raydistill.method import answers, prompts
from raydistill.tables import JUDGE_PROMPTS, JUDGEMENTS

STAGE = "llm_judge"

# "No errors were found" is no "no", and "so the answer is no" restates an answer: a verdict stands by itself, at the
# beginning or as the last sentence.
_FIRST = re.compile(r"\W*(yes\b(?!\s+or\b)|no(?=\s*(?:[^\w\s]|\n|$)|\s+because\b))", re.IGNORECASE)
_LAST = re.compile(r"(?:^|[.!?\n]|\bverdict\b(?:\s+is)?)\W*(yes|no)\W*$", re.IGNORECASE)


def asks(questions: pa.Table, zero_shot: pa.Table, few_shot: pa.Table, settings: Settings) -> pa.Table:
    """Rows (JUDGE_PROMPTS) for every sample that curation would keep: train questions, right answers, steps that hold.

    Repetitions and likenesses count afterwards, among what the teacher has not refused.
    """
    plain = settings.curation.model_copy(update={"drop_duplicates": False, "keep_most_different": None})
    methods = [m for m in settings.students.methods if m != "vanilla"]
    kept = curate.curate(questions, zero_shot, few_shot, plain, methods, settings.students.degrees)
    kept = kept.filter(kept["kept"])
    place = pc.index_in(kept["question_id"], value_set=questions["question_id"].combine_chunks())
    rows = [
        question
        | {name: row[name] for name in KEY}
        | {
            "prompt": prompts.llm_judge(
                row["question"],
                answers.clean_rationale(row["rationale"]),
                answers.canonical(row["answer"], question["answer_type"]),
            ),
            "max_tokens": settings.teacher.answer_max_tokens,
            "temperature": 0.0,
            "adaptive": False,
        }
        for row, question in zip(kept.to_pylist(), questions.take(place).to_pylist(), strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=JUDGE_PROMPTS)


def verdict(reply: str) -> str:
    """yes, no or unclear: the word that a reply begins with or, where it begins otherwise, ends with."""
    text = reply.split("\nQ:")[0].strip()
    found = _FIRST.match(text) or _LAST.search(text)
    return found[1].lower() if found else "unclear"


def read(samples: pa.Table) -> pa.Table:
    """JUDGEMENTS from the stage's SAMPLES, whose `answer_text` is the reply.

    What the budget left out is unjudged and no error: asking again would find the same budget.
    """
    rows = samples.select([*KEY, "answer_text", *JUDGEMENTS.names[7:]]).to_pylist()
    for row in rows:
        row["reply"] = row.pop("answer_text")
        if row["error_kind"] == "budget":
            row |= {"verdict": "unjudged", "error": ""}
        else:
            row["verdict"] = "failed" if row["error_kind"] else verdict(row["reply"])
    return pa.Table.from_pylist(rows, schema=JUDGEMENTS)


def summary(judgements: pa.Table) -> str:
    """The verdicts counted, as a sentence for the terminal."""
    counts = Counter(judgements["verdict"].to_pylist())
    text = f"{judgements.num_rows:,} rationales: " + ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common())
    return text + (" (the budget is used up; they count as unclear)" if counts["unjudged"] else "")

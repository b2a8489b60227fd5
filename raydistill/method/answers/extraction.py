"""Read the answer out of a completion and compare it with the gold answer, by one of two sets of rules.

`published` follows Fine-tune-CoT (Ho et al. 2023) to the letter, defects included, so that accuracies compare with the
literature. `robust` reads what a person would read ("thirty-seven", "1/4", "n-a-e-y", "Alice has the blue ball"), and
finds no answer in a text that names two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from raydistill.method.answer_readers.answer_sentences import answer_part, answer_sentences, without_run_on
from raydistill.method.answer_readers.plain_text import LONGEST_ANSWER, SENTENCE_BREAK, single_answer
from raydistill.method.answer_readers.published_rules import first_or_last
from raydistill.method.answer_types import ANSWER_TYPES

ExtractionRules = Literal["robust", "published"]


def extract(
    text: str,
    *,
    answer_type: str,
    choices: Sequence[str] = (),
    rules: ExtractionRules = "robust",
    task: str = "",
    prefix: str = "",
) -> str | None:
    """Read the answer out of the completion of an answer call.

    Args:
        text: the completion.
        answer_type: a name of `ANSWER_TYPES`.
        choices: option texts of a letter question in order A, B, …; letters beyond the last are no answers.
        rules: robust or published.
        task: benchmark name; the published rules treat some benchmarks in their own way.
        prefix: published rules only: candidates count from behind the first `prefix` on ("The answer is" for a
            few-shot completion); if the text lacks it, the last candidate counts instead of the first.

    Returns:
        The answer, canonical; None if there is none, or by the robust rules if there are several.
    """
    record = ANSWER_TYPES[answer_type]
    if rules == "robust":
        return single_answer(answer_part(text), record.read, choices, strict=False)

    def candidates(part: str) -> list[str]:
        return record.read_published(part, choices, task)

    return first_or_last(text, candidates, prefix)


def student_answer(
    completion: str,
    *,
    answer_type: str,
    choices: Sequence[str] = (),
    rules: ExtractionRules = "robust",
    task: str = "",
    answer_marker: str = "-->",
) -> tuple[str | None, bool]:
    """Read the answer out of a student's completion.

    The answer stands behind the first answer marker, up to a second one. Without the marker, the published rules take
    the last candidate of the whole text, the robust rules an answer sentence or else the last sentence (never letters
    of the rationale's body: in tracking they agree with the gold answer by chance only).

    Args:
        completion: what the student wrote.
        answer_type: a name of `ANSWER_TYPES`.
        choices: option texts of a letter question in order A, B, ….
        rules: robust or published.
        task: benchmark name, for the published rules.
        answer_marker: what stands before the answer in the student's training text; "" if that is the answer alone.

    Returns:
        The prediction, or None; and whether the completion has the answer marker.
    """
    has_marker = answer_marker in completion
    if rules == "published":
        part = completion
        prefix = answer_marker
    else:
        part = _robust_part(without_run_on(completion), answer_marker)
        prefix = ""
    answer = extract(part, answer_type=answer_type, choices=choices, rules=rules, task=task, prefix=prefix)
    return answer, has_marker


def is_correct(
    prediction: str | None, gold: str, *, answer_type: str, rules: ExtractionRules = "robust", task: str = ""
) -> bool:
    """Compare a prediction with the gold answer; None is wrong.

    Robust rules: numbers may differ by `TOLERANCE`, letters by case. Published rules: texts are compared, and the
    numbers of all tasks but multiarith.

    Args:
        prediction: an answer as `extract` gives it.
        gold: the gold answer as the benchmark prints it.
        answer_type: a name of `ANSWER_TYPES`.
        rules: robust or published.
        task: benchmark name, for the published rules.
    """
    if prediction is None:
        return False
    record = ANSWER_TYPES[answer_type]
    if rules == "robust":
        return record.same(prediction, gold)
    return record.same_published(prediction, gold, task)


def canonical(answer: str, answer_type: str) -> str:
    """Return an answer in the form that exemplars and predictions use: "43.0" → "43", "(b)" → "B", "Yes" → "yes".

    Of a text, the first sentence counts. An answer that is not of its type comes back stripped and otherwise as it is.
    """
    return ANSWER_TYPES[answer_type].canonical(answer)


def _robust_part(text: str, answer_marker: str) -> str:
    """Return the part of a student's completion that may hold its answer."""
    if not answer_marker:
        return text
    if answer_marker in text:
        return text.split(answer_marker, 2)[1]
    if answer_sentences(text):
        return text
    return SENTENCE_BREAK.split(text.strip()[-LONGEST_ANSWER:])[-1]

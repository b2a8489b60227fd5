"""The prompts, word for word: zero-shot-CoT (Kojima et al. 2022), few-shot-CoT in Auto-CoT's form (Zhang et al. 2022).

The exemplar block of a task is the same bytes in front of every question, so that providers' prompt caches hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from raydistill.method.answer_readers.options import letter
from raydistill.method.answer_types import ANSWER_TYPES, GENERIC_TRIGGER
from raydistill.method.benchmarks import BENCHMARKS

THINK = "Let's think step by step."


def zero_shot(question: str) -> str:
    """Return the rationale prompt without exemplars."""
    return f"Q: {question}\nA: {THINK}"


def few_shot(block: str, question: str) -> str:
    """Return the rationale prompt behind an `exemplar_block`."""
    return block + zero_shot(question)


def exemplar_block(exemplars: Sequence[Mapping[str, Any]]) -> str:
    """Return the exemplars (fields question, rationale, answer; canonical answers) as they precede every question."""
    blocks = [_exemplar(str(row["question"]), str(row["rationale"]), str(row["answer"])) for row in exemplars]
    return "".join(blocks)


def answer_call(
    question: str,
    rationale: str,
    *,
    task: str,
    trigger: Literal["generic", "per_dataset"] = "generic",
    choices: Sequence[str] = (),
) -> str:
    """Return the prompt of the answer call; it is the same after zero-shot and few-shot rationales.

    Exemplars are left out to keep the call cheap.

    Args:
        question: the question.
        rationale: the completion of the first call, as it came.
        task: the task's name.
        trigger: generic, the words of Ho et al. 2023, or per_dataset, those of Kojima et al. 2022 for a benchmark.
        choices: option texts of a letter question; more than the benchmark has widen the range of letters.
    """
    # Chat answers lack the leading space of a completion: "step by step.First" must not happen.
    space = " " if rationale and not rationale[0].isspace() else ""
    ending = GENERIC_TRIGGER if trigger == "generic" else _benchmark_trigger(task, choices)
    return zero_shot(question) + space + rationale + ending


def _benchmark_trigger(task: str, choices: Sequence[str]) -> str:
    """Return what the answer call of a benchmark ends with; that of other tasks is generic."""
    benchmark = BENCHMARKS.get(task)
    if benchmark is None:
        return GENERIC_TRIGGER
    trigger = ANSWER_TYPES[benchmark.answer_type].trigger
    options = max(benchmark.n_options, len(choices))
    return trigger.replace("{last}", letter(options - 1))


def _exemplar(question: str, rationale: str, answer: str) -> str:
    rationale = " ".join(rationale.split())  # one line (Zhang et al. 2022)
    if not rationale.startswith(THINK):
        rationale = f"{THINK} {rationale}".rstrip()
    return f"Q: {question}\nA: {rationale} The answer is {answer}.\n\n"

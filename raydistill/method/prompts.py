"""The prompts, word for word: zero-shot-CoT (Kojima et al. 2022), few-shot-CoT in Auto-CoT's form (Zhang et al. 2022).

The exemplar block of a task is the same bytes in front of every question, so that providers' prompt caches hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

THINK = "Let's think step by step."
GENERIC_TRIGGER = "\nTherefore, the answer is"

JUDGE = (
    "\n\nIs every step of this reasoning valid, and does the reasoning lead to this answer? Reply with yes or no.\n"
    "Verdict:"
)

_ARABIC = "\nTherefore, the answer (arabic numerals) is"
_PER_DATASET = {
    "single_eq": _ARABIC,
    "addsub": _ARABIC,
    "multiarith": _ARABIC,
    "svamp": _ARABIC,
    "date_understanding": "\nTherefore, among A through F, the answer is",
    "tracking_shuffled_objects": "\nTherefore, among A through C, the answer is",
    "coin_flip": "\nTherefore, the answer (Yes or No) is",
    "last_letter_concatenation": GENERIC_TRIGGER,
}


def zero_shot(question: str) -> str:
    """The rationale prompt without exemplars."""
    return f"Q: {question}\nA: {THINK}"


def answer_call(
    question: str,
    rationale: str,
    *,
    task: str,
    trigger: Literal["generic", "per_dataset"] = "generic",
    choices: Sequence[str] = (),
) -> str:
    """The second prompt, which asks for the answer; `rationale` is the completion of the first, as it came.

    The same after zero-shot and few-shot rationales: exemplars are left out to keep the call cheap. `generic` is the
    trigger of Ho et al. 2023, `per_dataset` those of Kojima et al. 2022; with `choices`, a tracking question of more
    than three options is asked for its own range of letters.
    """
    asks = GENERIC_TRIGGER if trigger == "generic" else _PER_DATASET.get(task, GENERIC_TRIGGER)
    if len(choices) > 3 and task == "tracking_shuffled_objects":
        asks = asks.replace("A through C", f"A through {chr(ord('A') + len(choices) - 1)}")
    # Chat answers lack the leading space of a completion: "step by step.First" must not happen.
    space = " " if rationale and not rationale[0].isspace() else ""
    return zero_shot(question) + space + rationale + asks


def exemplar_block(exemplars: Sequence[Mapping[str, Any]]) -> str:
    """The exemplars (fields question, rationale, answer; canonical answers) as they stand before every question."""
    return "".join(_exemplar(**{name: str(e[name]) for name in ("question", "rationale", "answer")}) for e in exemplars)


def few_shot(block: str, question: str) -> str:
    """The rationale prompt behind an `exemplar_block`."""
    return block + zero_shot(question)


def judge(question: str, rationale: str, answer: str) -> str:
    """The prompt that asks whether a rationale (clean, so without its answer sentence) holds."""
    return f"Q: {question}\nA: {rationale} The answer is {answer}.{JUDGE}"


def _exemplar(question: str, rationale: str, answer: str) -> str:
    rationale = " ".join(rationale.split())  # one line (Zhang et al. 2022)
    if not rationale.startswith(THINK):
        rationale = f"{THINK} {rationale}".rstrip()
    return f"Q: {question}\nA: {rationale} The answer is {answer}.\n\n"

"""What methods, splits, tasks, reasons and verdicts are called where a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from raydistill.config import Settings, TaskName
from raydistill.method.methods import METHODS

# Ways to choose the epoch that counts: (whole name, short name).
EPOCHS = {
    "last": ("last epoch", "last"),
    "validation": ("epoch chosen on validation questions", "by validation"),
    "best_on_test": ("best epoch on the test questions (comparable with the paper, optimistic)", "best on test"),
}
# Codes of TRAINING.reason. One without words here is shown as it is.
REASONS = {
    "": "no reason given",
    "failed": "failed",
    "no_answer": "no answer",
    "wrong_answer": "wrong answer",
    "empty_rationale": "empty rationale",
    "step_does_not_hold": "step does not hold",
    "contradicts_answer": "contradicts its answer",
    "does_not_reach_answer": "does not reach its answer",
    "llm_judge": "LLM judge: rejected",
    "repeated": "repeats another sample",
    "too_similar": "too similar to another sample",
}
# Conditions of exemplars (EXEMPLARS.passed_over). One without words here is shown as it is.
CONDITIONS = {
    "answer": "no answer",
    "correct": "wrong answer",
    "rationale": "no rationale",
    "steps": "unsound steps",
    "question length": "long question",
    "lines": "rationale of many lines",
    "full stop": "no full stop at the end",
    "answer shown": "answer not in the last sentence",
    "repeated": "repeats the question of an exemplar",
}
VERDICTS = {
    "yes": "called right",
    "no": "called wrong",
    "unclear": "without a clear verdict",
    "unjudged": "unjudged (the budget was used up)",
    "failed": "failed",
}
CONFIDENCE = {"probability": "tokens", "votes": "votes"}
SPLITS = ("train", "test", "test_unseen", "all")


def method(name: str, degree: int = 1, *, short: bool = False) -> str:
    """Return a student's training in words; an unknown name is returned as it is."""
    text = name
    if name in METHODS:
        text = METHODS[name].short_label if short else METHODS[name].label
    return _with_degree(text, degree)


def teacher_method(name: str, degree: int = 1) -> str:
    """Return the way the teacher was prompted in words; an unknown name is returned as it is."""
    text = METHODS[name].teacher_label if name in METHODS else name
    return _with_degree(text or name, degree)


def _with_degree(text: str, degree: int) -> str:
    return f"{text}, D = {degree}" if degree > 1 else text


def method_order(name: str) -> int:
    """Return a sort key: the place among the methods in report order, unknown names last."""
    return position(name, METHODS)


def split(name: str) -> str:
    """Return a split in words (of the user's own questions too, whose split may be any)."""
    return "unseen patterns" if name == "test_unseen" else f"{name} questions"


def split_order(name: str) -> int:
    """Return a sort key of splits, unknown names last."""
    return position(name, SPLITS)


def position(name: str, names: Iterable[str]) -> int:
    """Return the place of `name` in `names`; of a name that is not there, the place behind the last one."""
    listed = list(names)
    return listed.index(name) if name in listed else len(listed)


def task(name: str) -> str:
    """Return a task in words ("coin_flip" as "coin flip"); the user's own task names stay as they are."""
    return name.replace("_", " ") if name in get_args(TaskName) else name


def condition(name: str) -> str:
    """Return a failed condition of an exemplar in words; an unknown name is returned as it is."""
    return CONDITIONS.get(name, name)


def reason(code: str) -> str:
    """Return a code of TRAINING.reason in words; an unknown code is returned as it is."""
    return REASONS.get(code, code)


def verdict(code: str) -> str:
    """Return a verdict of the LLM judge in words; an unknown one is returned as it is."""
    return VERDICTS.get(code, code)


def confidence(kind: str) -> str:
    """Return in a word by what a student is sure of an answer (CASCADE.confidence)."""
    return CONFIDENCE.get(kind, kind)


def teacher(settings: Settings) -> str:
    """Say who the teacher was; a simulated one is always called so."""
    kind = settings.teacher.kind
    if kind == "simulated":
        return "a simulated teacher"
    if kind == "local":
        path = settings.teacher.local.gguf or "SmolLM2-135M-Instruct"
        file = path.replace("\\", "/").rsplit("/", 1)[-1]
        return f"{file} (llama.cpp)"
    return settings.teacher.model


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Shorten model names to the part without organisation or folder, where that stays unique."""
    whole = list(dict.fromkeys(names))
    short = [name.rstrip("/").rsplit("/", 1)[-1] or name for name in whole]
    chosen = {}
    for name, last_part in zip(whole, short, strict=True):
        chosen[name] = last_part if short.count(last_part) == 1 else name
    return chosen


def interval(low: float | None, high: float | None) -> str:
    """Return (0.934, 0.99) as "93.4–99.0"; nothing if there is no interval."""
    if low is None or high is None:
        return ""
    return f"{100 * low:.1f}–{100 * high:.1f}"

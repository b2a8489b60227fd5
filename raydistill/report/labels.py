"""How methods, splits, tasks and figures are called where a person reads them, in one place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from raydistill.config import Settings, TaskName

# In the order in which tables and charts show them: (whole name, short name for charts and narrow tables).
METHODS: dict[str, tuple[str, str]] = {
    "untrained": ("untrained", "untrained"),
    "untrained_cot": ("untrained, asked to think step by step (zero-shot-CoT)", "untrained, step by step"),
    "vanilla": ("fine-tuned on answers alone", "answers alone"),
    "fine_tune_cot": ("fine-tuned on zero-shot rationales (Fine-tune-CoT)", "zero-shot rationales"),
    "few_shot_unfiltered": ("fine-tuned on rationales, exemplars unchecked (first change)", "rationales, unchecked"),
    "new_fine_tune_cot": ("fine-tuned on rationales (New-Fine-tune-CoT)", "rationales"),
}
TEACHER_METHODS = {
    "fine_tune_cot": "zero-shot",
    "few_shot_unfiltered": "few-shot, unchecked",
    "new_fine_tune_cot": "few-shot",
}
# Ways to choose the epoch that counts: (whole name, short name).
EPOCHS = {
    "last": ("last epoch", "last"),
    "validation": ("epoch chosen on validation questions", "by validation"),
    "best_on_test": ("best epoch on the test questions (comparable with the paper, optimistic)", "best on test"),
}
REASONS = {
    "teacher judges": "refused by the teacher as judge"
}  # other reasons to drop a rationale are told as they are
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
    """A student's training, in words; an unknown name is shown as it is."""
    text = METHODS.get(name, (name, name))[1 if short else 0]
    return f"{text}, D = {degree}" if degree > 1 else text


def teacher_method(name: str, degree: int = 1) -> str:
    """How the teacher was asked, in words."""
    text = TEACHER_METHODS.get(name, name)
    return f"{text}, D = {degree}" if degree > 1 else text


def split(name: str) -> str:
    """A split in words (of the user's own questions too, whose split may be any)."""
    return "unseen patterns" if name == "test_unseen" else f"{name} questions"


def order(name: str, known: Iterable[str]) -> int:
    """Sort key: the place in `known`, unknown names last."""
    names = list(known)
    return names.index(name) if name in names else len(names)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Model names without organisation or folder ("google/flan-t5-base" -> "flan-t5-base"), where that stays unique."""
    whole = list(dict.fromkeys(names))
    short = [name.rstrip("/").rsplit("/", 1)[-1] or name for name in whole]
    return {name: s if short.count(s) == 1 else name for name, s in zip(whole, short, strict=True)}


def teacher(settings: Settings) -> str:
    """Who the teacher was; a simulated one is always called so."""
    kind = settings.teacher.kind
    if kind == "simulated":
        return "a simulated teacher"
    if kind == "local":
        gguf = settings.teacher.local.gguf
        return (gguf.replace("\\", "/").rsplit("/", 1)[-1] if gguf else "SmolLM2-135M-Instruct") + " (llama.cpp)"
    return settings.teacher.model


def percent(share: float | None, digits: int = 1) -> str:
    """0.973 -> "97.3 %"; a dash where there is no figure."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def interval(low: float | None, high: float | None) -> str:
    """(0.934, 0.99) -> "93.4–99.0"."""
    return "" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f}"


def dollars(usd: float | None) -> str:
    """Four decimals below one dollar."""
    if usd is None:
        return "price unknown"
    return f"${usd:,.4f}" if 0 < usd < 1 else f"${usd:,.2f}"


def task(name: str) -> str:
    """ "coin_flip" -> "coin flip"; the user's own task names stay as they are."""
    return name.replace("_", " ") if name in get_args(TaskName) else name

"""The methods that are compared: one record each. Settings, stages and report take their choices and labels from here.

A method says how the teacher is prompted, which of its answers may become exemplars, when an answer call follows, and
what the student learns to write (Li et al. 2024, section 3 and Tables 3 to 5).
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Method(NamedTuple):
    """How training text is made or, without training, how a student is prompted as it comes."""

    name: str
    label: str
    """For tables and pages."""
    short_label: str
    """For charts and narrow tables."""
    prompt: Literal["none", "zero_shot", "few_shot"]
    """How the teacher is prompted for rationales; none: it is not."""
    exemplars: Literal["none", "any_answer", "correct_answer"]
    """Which zero-shot samples may become exemplars of its few-shot prompt."""
    answer_call: Literal["never", "always", "if_missing"]
    """When an answer call follows; if_missing: only if the rationale does not hold the answer."""
    target: Literal["answer", "rationale"]
    """What the student writes: the answer alone, or a rationale with its answer."""
    is_trained: bool = True
    """False: the student is evaluated as it comes."""
    teacher_label: str = ""
    """How the teacher was prompted, in words."""

    @property
    def asks_teacher(self) -> bool:
        """True if training text comes from the teacher."""
        return self.prompt != "none"


_IN_REPORT_ORDER = (
    Method(
        name="untrained",
        label="untrained",
        short_label="untrained",
        prompt="none",
        exemplars="none",
        answer_call="never",
        target="answer",
        is_trained=False,
    ),
    Method(
        name="untrained_cot",
        label="untrained, asked to think step by step (zero-shot-CoT)",
        short_label="untrained, step by step",
        prompt="none",
        exemplars="none",
        answer_call="always",
        target="answer",
        is_trained=False,
    ),
    Method(
        name="vanilla",
        label="fine-tuned on answers alone",
        short_label="answers alone",
        prompt="none",
        exemplars="none",
        answer_call="never",
        target="answer",
    ),
    Method(
        name="fine_tune_cot",
        label="fine-tuned on zero-shot rationales (Fine-tune-CoT)",
        short_label="zero-shot rationales",
        prompt="zero_shot",
        exemplars="none",
        answer_call="always",
        target="rationale",
        teacher_label="zero-shot",
    ),
    Method(
        name="few_shot_unfiltered",
        label="fine-tuned on rationales, exemplars unchecked (first change)",
        short_label="rationales, unchecked",
        prompt="few_shot",
        exemplars="any_answer",
        answer_call="always",
        target="rationale",
        teacher_label="few-shot, unchecked",
    ),
    Method(
        name="new_fine_tune_cot",
        label="fine-tuned on rationales (New-Fine-tune-CoT)",
        short_label="rationales",
        prompt="few_shot",
        exemplars="correct_answer",
        answer_call="if_missing",
        target="rationale",
        teacher_label="few-shot",
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _IN_REPORT_ORDER}
"""By name, in the order in which tables and charts show them."""

ZERO_SHOT = METHODS["fine_tune_cot"]
"""The method whose samples exemplars are chosen from."""


UNTRAINED = tuple(method.name for method in _IN_REPORT_ORDER if not method.is_trained)
"""Names of the ways to evaluate a student as it comes."""


def trained() -> list[Method]:
    """Return the methods that students are trained by: the choices of `students.methods`."""
    return [method for method in METHODS.values() if method.is_trained]


def few_shot(names: list[str]) -> list[Method]:
    """Return the methods of `names` whose prompt has exemplars, in report order."""
    return [method for method in METHODS.values() if method.name in names and method.prompt == "few_shot"]

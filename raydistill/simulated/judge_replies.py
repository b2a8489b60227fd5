"""The simulated teacher as LLM judge: yes or no to a rationale with its answer."""

from __future__ import annotations

from random import Random

from raydistill.config import SimulatedSettings
from raydistill.method import answers, steps
from raydistill.simulated.parsed_prompt import ParsedPrompt
from raydistill.simulated.puzzles import AnyPuzzle
from raydistill.simulated.puzzles.base import Wording, choose

APPROVALS = (
    Wording(" Yes.", 40),
    Wording(" Yes", 20),
    Wording(" yes.", 10),
    Wording(" Yes, every step is valid.", 28),
)
REJECTIONS = (
    Wording(" No.", 40),
    Wording(" No", 20),
    Wording(" no.", 10),
    Wording(" No, a step does not follow.", 28),
)
UNDECIDED = Wording(" That cannot be told.", 2)


def write(prompt: ParsedPrompt, puzzle: AnyPuzzle, settings: SimulatedSettings, rng: Random) -> str:
    """Write a verdict: that of the step checks in `judge_accuracy` of the cases, else the opposite."""
    rationale, _, stated_answer = prompt.rationale.rpartition(" The answer is ")
    prediction = answers.canonical(stated_answer.strip().removesuffix("."), puzzle.answer_type)
    fault = steps.check(
        rationale,
        question=prompt.question,
        prediction=prediction,
        answer_type=puzzle.answer_type,
        choices=puzzle.choices,
    )
    is_sound = not fault
    judges_rightly = rng.random() < settings.judge_accuracy
    approves = is_sound == judges_rightly
    verdicts = APPROVALS if approves else REJECTIONS
    return choose([*verdicts, UNDECIDED], rng)

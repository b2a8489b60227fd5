"""The run's stages that ask the teacher: their names, and where their completions end."""

from __future__ import annotations

STOP_SEQUENCES: dict[str, tuple[str, ...]] = {
    "zero_shot": (),
    "few_shot": ("\nQ:",),
    "llm_judge": ("\nQ:",),
}
"""By stage; a completion after exemplars may go on with a question of its own."""

STAGES: tuple[str, ...] = tuple(STOP_SEQUENCES)
"""In the order in which a run has them."""

FORMER_NAMES: dict[str, str] = {"llm_judge": "judge"}
"""What a stage was called in journals of earlier versions."""


def names(stage: str) -> tuple[str, ...]:
    """Return the names under which a journal may hold what `stage` bought: today's and, if it had one, its former."""
    if stage in FORMER_NAMES:
        return stage, FORMER_NAMES[stage]
    return (stage,)

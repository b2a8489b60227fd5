"""What the simulated teacher writes: rationales and answers in many wordings, in the shapes that real teachers use.

`reply` is a pure function of the prompt, the sample number and the settings, so that the same request gets the same
text. The shapes (answer sentence or none, running on, "(B)", quotes, option text, ...) are those seen in the public
logs of Kojima et al. 2022.
"""

from __future__ import annotations

from random import Random

from raydistill.config import SimulatedSettings
from raydistill.simulated import answer_calls, judge_replies, rationales
from raydistill.simulated.parsed_prompt import parse_prompt
from raydistill.simulated.puzzles import recognise
from raydistill.simulated.run_on import next_question

GREEDY = -1  # sample number of temperature 0


def reply(prompt: str, sample: int, settings: SimulatedSettings, gold: str | None = None) -> str:
    """Write the teacher's text for a prompt, before any stop sequence or length limit.

    Args:
        prompt: the whole prompt; a question by itself is asked for its rationale.
        sample: the sample's number, `GREEDY` at temperature 0.
        settings: how often the teacher is right, lucky, and so on.
        gold: the right answer, for questions that the teacher cannot solve itself.
    """
    parsed = parse_prompt(prompt)
    puzzle = recognise(parsed.question)
    rng = Random(f"{settings.seed}\0{sample}\0{prompt}")
    if parsed.call == "rationale":
        text = rationales.write(parsed, puzzle, settings, rng, gold)
    elif parsed.call == "llm_judge":
        text = judge_replies.write(parsed, puzzle, settings, rng)
    else:
        text = answer_calls.write(parsed, puzzle, settings, rng, gold)
    if rng.random() < settings.run_on_fraction:
        text += next_question(puzzle, rng)
    return text

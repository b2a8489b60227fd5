"""Reading a prompt in the layouts of `raydistill.method.prompts`."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from raydistill.method import llm_judge

Call = Literal["rationale", "answer", "llm_judge", "direct"]

_QUESTION = re.compile(r"(?:^|\n)\s*Q:\s*")
_ANSWER_TRIGGER = re.compile(r"\banswer(?: \([^)]*\))?(?: is)?:?\s*$", re.I)
_THINK = re.compile(r"^\s*Let['’]s think step by step\.?", re.I)


class ParsedPrompt(NamedTuple):
    """The question of a prompt, the exemplars before it, and how far the answer already goes."""

    question: str
    exemplars: str
    """The text before the last "Q:"; empty for zero-shot."""
    call: Call
    """What is to be written; "answer" is the answer call, "direct" an answer without reasoning."""
    rationale: str
    """The rationale in the prompt of an answer call or of the LLM judge."""


def parse_prompt(prompt: str) -> ParsedPrompt:
    """Read a prompt; a text without "Q:" is a question by itself."""
    starts = list(_QUESTION.finditer(prompt))
    last_part = prompt
    exemplars = ""
    if starts:
        last_part = prompt[starts[-1].end() :]
        exemplars = prompt[: starts[-1].start()].strip()
    question, _, begun_answer = last_part.partition("\nA:")
    question = question.strip()
    if begun_answer.endswith(llm_judge.QUESTION):
        return ParsedPrompt(question, exemplars, "llm_judge", begun_answer.removesuffix(llm_judge.QUESTION))
    reasoning = _THINK.sub("", begun_answer)
    trigger = _ANSWER_TRIGGER.search(reasoning)
    if trigger and reasoning.strip():
        trigger_line = reasoning.rfind("\n", 0, trigger.start()) + 1
        return ParsedPrompt(question, exemplars, "answer", reasoning[:trigger_line].rstrip())
    if starts and not exemplars and not begun_answer.strip():
        return ParsedPrompt(question, exemplars, "direct", "")
    return ParsedPrompt(question, exemplars, "rationale", "")

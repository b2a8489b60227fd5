"""The LLM judge's words: what it is asked about a rationale, and how its reply is read."""

from __future__ import annotations

import re

QUESTION = (
    "\n\nIs every step of this reasoning valid, and does the reasoning lead to this answer? Reply with yes or no.\n"
    "Verdict:"
)

# "No errors were found" is no "no", and "so the answer is no" restates an answer: a verdict stands by itself, at the
# beginning or as the last sentence.
_FIRST = re.compile(r"\W*(yes\b(?!\s+or\b)|no(?=\s*(?:[^\w\s]|\n|$)|\s+because\b))", re.IGNORECASE)
_LAST = re.compile(r"(?:^|[.!?\n]|\bverdict\b(?:\s+is)?)\W*(yes|no)\W*$", re.IGNORECASE)


def prompt(question: str, rationale: str, answer: str) -> str:
    """Return the prompt that asks whether a rationale (clean, so without its answer sentence) holds."""
    return f"Q: {question}\nA: {rationale} The answer is {answer}.{QUESTION}"


def verdict(reply: str) -> str:
    """Read a reply as "yes", "no" or "unclear": the word that it begins with or, failing that, ends with."""
    text = reply.split("\nQ:")[0].strip()
    match = _FIRST.match(text) or _LAST.search(text)
    return match[1].lower() if match else "unclear"

"""Time per 100,000 extractions, by answer type and rules, on one core; and the extraction from 100 kB of junk.

python benchmarks/extraction_speed.py     # last line: one JSON object, seconds per 100,000 and milliseconds
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raydistill.method.answer_types import AnswerType
from raydistill.method.answers import extract, find_in_rationale, student_answer

EXTRACTIONS = 20_000
ROUNDS = 3
JUNK_CHARS = 100_000
BALLS = ("orange ball", "white ball", "blue ball")
REASONING = " Alice has the orange ball, so 12 + 31 = 43 and the coin is flipped by Bob, who has 3 left." * 3
JUNK = ("1", "a", "(A) ", "the answer is ", "answer (", "1,111,", "\u0300\u0316", "\n", "two hundred ")


class Case(NamedTuple):
    """Answer texts of one type."""

    answer_type: AnswerType
    choices: tuple[str, ...]
    texts: tuple[str, ...]


CASES = (
    Case(
        "number", (), (" 43.", " $1,200.", " thirty-seven", " 8. He has 8 apples left of 10.", " 23 - 20 = 3", " 2 1/2")
    ),
    Case("letter", BALLS, (" (C).", " B", " Alice has the blue ball.", " **A**", " (B) white ball")),
    Case("yes_no", (), (" yes.", " No", " (Yes)", " no, the coin is tails up")),
    Case("letters", (), (" yajo.", ' "fnel"', " n-a-e-y", " f, n, e, l")),
)


def main() -> None:
    """Measure all cases, then all junk."""
    seconds: dict[str, dict[str, float]] = {}
    for case in CASES:
        seconds[case.answer_type] = measure_case(case)
        for name, value in seconds[case.answer_type].items():
            print(f"{case.answer_type:<8} {name:<22} {value:6.2f} s per 100,000")
    junk_ms: dict[str, float] = {}
    for junk in JUNK:
        junk_ms[junk] = milliseconds_of_junk(junk)
        print(f"100 kB of {junk!r:<20} {junk_ms[junk]:6.2f} ms")
    print(json.dumps({"seconds_per_100000": seconds, "junk_100kB_ms": junk_ms}))


def measure_case(case: Case) -> dict[str, float]:
    """Return the seconds per 100,000 extractions of each kind and rules."""
    rationales = [f"{REASONING} The answer is{text}" for text in case.texts]
    completions = [f"{REASONING} -->{text}" for text in case.texts]
    from_answer = partial(extract, answer_type=case.answer_type, choices=case.choices)
    from_rationale = partial(find_in_rationale, answer_type=case.answer_type, choices=case.choices)
    from_completion = partial(student_answer, answer_type=case.answer_type, choices=case.choices)
    return {
        "answer text, robust": per_100_000(from_answer, case.texts),
        "answer text, baseline": per_100_000(partial(from_answer, rules="published"), case.texts),
        "rationale, adaptive": per_100_000(from_rationale, rationales),
        "student, robust": per_100_000(from_completion, completions),
        "student, baseline": per_100_000(partial(from_completion, rules="published"), completions),
    }


def per_100_000(extraction: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return the seconds per 100,000 texts, best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for text in islice(cycle(texts), EXTRACTIONS):
            extraction(text)
        best = min(best, time.perf_counter() - started)
    return round(best / EXTRACTIONS * 100_000, 3)


def milliseconds_of_junk(junk: str) -> float:
    """Return the mean milliseconds of one extraction from 100 kB of repeated junk."""
    text = (junk * JUNK_CHARS)[:JUNK_CHARS]
    started = time.perf_counter()
    for case in CASES:
        find_in_rationale(text, answer_type=case.answer_type, choices=BALLS)
        student_answer(text, answer_type=case.answer_type, choices=BALLS)
    extractions = 2 * len(CASES)
    return round((time.perf_counter() - started) / extractions * 1_000, 2)


if __name__ == "__main__":
    main()

"""Time per 100,000 extractions, by answer type and judge, on one core; and the judging of 100 kB of junk.

python benchmarks/extraction_speed.py     # last line: one JSON object, seconds per 100,000 and milliseconds
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raydistill.method.answers import extract, find_in_rationale, student_answer

N = 20_000
BALLS = ("orange ball", "white ball", "blue ball")
ANSWERS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "number": ((), [" 43.", " $1,200.", " thirty-seven", " 8. He has 8 apples left of 10.", " 23 - 20 = 3", " 2 1/2"]),
    "letter": (BALLS, [" (C).", " B", " Alice has the blue ball.", " **A**", " (B) white ball"]),
    "yes_no": ((), [" yes.", " No", " (Yes)", " no, the coin is tails up"]),
    "letters": ((), [" yajo.", ' "fnel"', " n-a-e-y", " f, n, e, l"]),
}
REASONING = " Alice has the orange ball, so 12 + 31 = 43 and the coin is flipped by Bob, who has 3 left." * 3


def per_100_000(judge: Callable[[str], Any], texts: list[str]) -> float:
    """Seconds, best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        for text in islice(cycle(texts), N):
            judge(text)
        best = min(best, time.perf_counter() - began)
    return best / N * 100_000


def main() -> None:
    seconds: dict[str, dict[str, float]] = {}
    junk_ms: dict[str, float] = {}
    for kind, (choices, texts) in ANSWERS.items():
        arguments: dict[str, Any] = {"answer_type": kind, "choices": choices}
        rationales = [f"{REASONING} The answer is{text}" for text in texts]
        completions = [f"{REASONING} -->{text}" for text in texts]
        seconds[kind] = {
            "answer text, robust": per_100_000(partial(extract, **arguments), texts),
            "answer text, baseline": per_100_000(partial(extract, rules="published", **arguments), texts),
            "rationale, adaptive": per_100_000(partial(find_in_rationale, **arguments), rationales),
            "student, robust": per_100_000(partial(student_answer, **arguments), completions),
            "student, baseline": per_100_000(partial(student_answer, rules="published", **arguments), completions),
        }
        for name, value in seconds[kind].items():
            print(f"{kind:<8} {name:<22} {value:6.2f} s per 100,000")
    for junk in ("1", "a", "(A) ", "the answer is ", "answer (", "1,111,", "\u0300\u0316", "\n", "two hundred "):
        text = (junk * 100_000)[:100_000]
        began = time.perf_counter()
        for kind in ANSWERS:
            find_in_rationale(text, answer_type=kind, choices=BALLS)  # type: ignore[arg-type]
            student_answer(text, answer_type=kind, choices=BALLS)  # type: ignore[arg-type]
        junk_ms[junk] = (time.perf_counter() - began) / (2 * len(ANSWERS)) * 1_000
        print(f"100 kB of {junk!r:<20} {junk_ms[junk]:6.2f} ms")
    rounded = {kind: {name: round(value, 3) for name, value in row.items()} for kind, row in seconds.items()}
    result = {"seconds_per_100000": rounded, "junk_100kB_ms": {k: round(v, 2) for k, v in junk_ms.items()}}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

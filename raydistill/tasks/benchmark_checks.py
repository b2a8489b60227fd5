"""Are the benchmarks what the literature used? Files, questions, counts, splits and answer ratios are compared."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from raydistill.method.benchmarks import BENCHMARKS
from raydistill.method.questions import Question
from raydistill.runtime.errors import QuestionsError
from raydistill.tasks import published, splits

_DATE_5 = (
    "Yesterday was April 30, 2021. What is the date one year ago from today in MM/DD/YYYY?\nWhich choice is true? "
    "Answer choices: (A) 05/01/1971, (B) 04/01/2020, (C) 05/15/2020, (D) 05/01/2020, (E) 05/08/2020."
)
_SAME_SPLIT = "the published lists"


class Check(NamedTuple):
    """One comparison of a benchmark with the published one."""

    task: str
    what: str
    expected: str
    actual: str

    @property
    def ok(self) -> bool:
        """True if it is as expected."""
        return self.expected == self.actual


def checks() -> Iterator[Check]:
    """Yield every check of the benchmarks; a file that cannot be had or is another is a failed one."""
    for task in BENCHMARKS:
        try:
            yield from benchmark_checks(task)
        except QuestionsError as error:
            yield Check(task, "file", "the published file", error.message)


def questions_sha256(questions: Sequence[Question]) -> str:
    """Return the hash of the (question, gold answer) pairs in row order, whatever file they came from."""
    pairs = [json.dumps([question.text, question.answer], ensure_ascii=False) for question in questions]
    return hashlib.sha256("\n".join(pairs).encode()).hexdigest()


def benchmark_checks(task: str) -> Iterator[Check]:
    """Yield the checks of one benchmark.

    Raises:
        QuestionsError: a file cannot be had or is not the published one.
    """
    benchmark = BENCHMARKS[task]
    questions = published.questions(task)  # compares the hash of the file
    yield Check(task, "rows", str(benchmark.rows), str(len(questions)))
    yield Check(task, "questions and gold", benchmark.questions_sha256[:16], questions_sha256(questions)[:16])
    split = splits.random_split(len(questions))
    test_rows = benchmark.rows - benchmark.train_rows
    yield Check(task, "train/test", f"{benchmark.train_rows}/{test_rows}", _counts(split))
    if benchmark.split_sha256:
        yield Check(task, "split by rule", _SAME_SPLIT, _difference(split, published.default_split(task)))
    for name, ratios in benchmark.gold_ratios.items():
        yield Check(task, f"{name} answers", _ratios(ratios), _ratios(_gold_ratios(questions, split, name, ratios)))
    template = benchmark.template_split
    if template:
        template_split = published.template_split(task)
        yield Check(task, "template split", f"{template.train_rows}/{template.test_rows}", _counts(template_split))
    if task == "date_understanding":
        yield Check(task, "row 5", f"{_DATE_5!r} D", f"{questions[5].text!r} {questions[5].answer}")


def _counts(split: Sequence[str]) -> str:
    return f"{split.count('train')}/{split.count('test')}"


def _difference(split: Sequence[str], expected: Sequence[str]) -> str:
    """Return in words how two splits compare; rows that only one of them has count too."""
    differing = sum(own != other for own, other in zip(split, expected, strict=False))
    differing += abs(len(split) - len(expected))
    return f"{differing} rows on another side" if differing else _SAME_SPLIT


def _gold_ratios(
    questions: Sequence[Question], split: Sequence[str], name: str, answers: Mapping[str, float]
) -> dict[str, float]:
    """Return how often each of `answers` is the gold answer in split `name`."""
    golds = [question.answer for question, where in zip(questions, split, strict=True) if where == name]
    counts = Counter(golds)
    return {answer: round(counts[answer] / len(golds), 3) for answer in answers}


def _ratios(ratios: Mapping[str, float]) -> str:
    return " ".join(f"{answer} {ratio:.3f}" for answer, ratio in ratios.items())

"""Are the benchmarks what the literature used? Files, questions, counts, splits and answer shares are compared."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from raydistill.runtime.errors import QuestionsError
from raydistill.tasks import published, splits
from raydistill.tasks.items import Item


class Check(NamedTuple):
    task: str
    what: str
    expected: str
    found: str

    @property
    def ok(self) -> bool:
        return self.expected == self.found


def checks() -> Iterator[Check]:
    """Every acceptance check of the eight benchmarks; a file that cannot be had or is another is a failed one."""
    for task in published.BENCHMARKS:
        try:
            yield from benchmark_checks(task)
        except QuestionsError as error:
            yield Check(task, "file", "the published file", error.message)


def items_sha256(items: Sequence[Item]) -> str:
    """Hash of the (question, gold) pairs in row order, whatever file they came from."""
    pairs = (json.dumps([item.question, item.answer], ensure_ascii=False) for item in items)
    return hashlib.sha256("\n".join(pairs).encode()).hexdigest()


def benchmark_checks(task: str) -> Iterator[Check]:
    """The checks of one benchmark; raises QuestionsError where a file cannot be had or is another."""
    benchmark = published.BENCHMARKS[task]
    items = published.items(task)  # compares the raw file's hash
    yield Check(task, "rows", str(benchmark.rows), str(len(items)))
    yield Check(task, "questions and gold", benchmark.items_sha256[:16], items_sha256(items)[:16])
    split = splits.random_split(len(items))
    expected = f"{benchmark.train}/{benchmark.rows - benchmark.train}"
    yield Check(task, "train/test", expected, f"{split.count('train')}/{split.count('test')}")
    yield Check(task, "split by rule", "the published lists", _compare(split, published.split_file(task, "default")))
    for name, shares in benchmark.gold_shares.items():
        golds = [item.answer for item, where in zip(items, split, strict=True) if where == name]
        counts = Counter(golds)
        found = {gold: round(counts[gold] / len(golds), 3) for gold in shares}
        yield Check(task, f"{name} answers", _shares(shares), _shares(found))
    if task in published.TEMPLATE_TASKS:
        train, test = published.TEMPLATE_TASKS[task]
        split = published.template_split(task)
        yield Check(task, "template split", f"{train}/{test}", f"{split.count('train')}/{split.count('test')}")
    if task == "date_understanding":
        yield Check(task, "row 5", f"{_DATE_5!r} D", f"{items[5].question!r} {items[5].answer}")


def _compare(split: Sequence[str], lists: dict[str, list[int]]) -> str:
    ours = {name: [row for row, where in enumerate(split) if where == name] for name in ("train", "test")}
    wrong = sum(len(set(ours[name]) ^ set(lists[name])) for name in ours)
    return "the published lists" if ours == lists else f"{wrong} rows on another side"


def _shares(shares: dict[str, float]) -> str:
    return " ".join(f"{gold} {share:.3f}" for gold, share in shares.items())


_DATE_5 = (
    "Yesterday was April 30, 2021. What is the date one year ago from today in MM/DD/YYYY?\nWhich choice is true? "
    "Answer choices: (A) 05/01/1971, (B) 04/01/2020, (C) 05/15/2020, (D) 05/01/2020, (E) 05/08/2020."
)

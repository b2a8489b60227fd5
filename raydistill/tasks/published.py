"""The eight published benchmarks, row by row as Ho et al. 2023 turn them into (question, gold).

The files are not part of this package; `fetch` gets them. The BIG-bench files carry a canary string: keep the data out
of any pre-training corpus.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from raydistill.method.answer_types import AnswerType
from raydistill.tasks import download
from raydistill.tasks.items import Item, letter, with_choices

_ROWS_AT = (
    "https://raw.githubusercontent.com/kojima-takeshi188/zero_shot_cot/5ef330fcdeec0cd26aee27943504f91f8ec1c33c/dataset"
)
_SPLITS_AT = (
    "https://raw.githubusercontent.com/itsnamgyu/reasoning-teacher/a2ca4d28d3bbabbd77106b76d06885d1a5eac0d9/data/split"
)


class Benchmark(NamedTuple):
    file: str
    sha256: str
    """Of the raw file."""
    answer_type: AnswerType
    rows: int
    train: int
    items_sha256: str
    """Of the (question, gold) pairs: JSON lists of two, one a line."""
    gold_shares: dict[str, dict[str, float]]
    """Published shares of gold answers per split, where there are some."""
    hazards: str
    read: Callable[[Any], list[Item]]


def items(task: str) -> list[Item]:
    """All questions of a benchmark in file order.

    Raises:
        QuestionsError: the file cannot be had or is not the published one.
    """
    benchmark = BENCHMARKS[task]
    path = download.published(benchmark.file, f"{_ROWS_AT}/{benchmark.file}", benchmark.sha256)
    return benchmark.read(json.loads(path.read_text(encoding="utf-8")))


def split_file(task: str, kind: str) -> dict[str, list[int]]:
    """The published index lists `{"train": […], "test": […]}`; kind is default or template.

    Raises:
        QuestionsError: the file cannot be had or is not the published one.
    """
    name = f"{task}__{kind}.json"
    path = download.published(f"splits/{name}", f"{_SPLITS_AT}/{name}", SPLIT_FILES[name])
    lists: dict[str, list[int]] = json.loads(path.read_text(encoding="utf-8"))
    return lists


def template_split(task: str) -> list[str]:
    """Train or test for each row, no question template on both sides."""
    rows = {row: split for split, listed in split_file(task, "template").items() for row in listed}
    return [rows[row] for row in range(BENCHMARKS[task].rows)]


TEMPLATE_TASKS = {"multiarith": (413, 187), "date_understanding": (261, 108)}
"""Tasks with a template split, and its train and test counts."""


def _single_eq(rows: Any) -> list[Item]:
    return [Item(row["sQuestion"], str(row["lSolutions"][0])) for row in rows]


def _addsub(rows: Any) -> list[Item]:
    return [Item(row["sQuestion"].strip(), row["lSolutions"][0]) for row in rows]


def _multiarith(rows: Any) -> list[Item]:
    return [Item(row["sQuestion"].strip(), str(int(row["lSolutions"][0]))) for row in rows]


def _svamp(rows: Any) -> list[Item]:
    return [Item(f"{row['Body'].strip()} {row['Question'].strip()}", str(row["Answer"])) for row in rows]


def _date(task: Any) -> list[Item]:
    # The right option stands first in 364 of 369 rows, so the options are shuffled, with one generator for the file.
    rng = np.random.RandomState(0)
    return [_multiple_choice(row, rng.permutation(len(row["target_scores"])).tolist()) for row in task["examples"]]


def _tracking(task: Any) -> list[Item]:
    return [_multiple_choice(row, list(range(len(row["target_scores"])))) for row in task["examples"]]


def _multiple_choice(row: Any, slots: list[int]) -> Item:
    """Option j of the file goes to slot `slots[j]`; options lose one trailing period."""
    placed = dict(zip(slots, row["target_scores"].items(), strict=True))
    choices = tuple(placed[i][0].removesuffix(".") for i in range(len(placed)))
    gold = next(i for i, (_, score) in placed.items() if score == 1)
    return Item(with_choices(row["input"], choices), letter(gold), choices)


def _ready(task: Any) -> list[Item]:
    return [Item(row["question"], row["answer"]) for row in task["examples"]]


_DATE_SHARES = {"test": {"C": 0.279, "E": 0.207, "B": 0.153, "D": 0.135, "F": 0.126, "A": 0.099}}
_TRACKING_SHARES = {"test": {"A": 0.338, "B": 0.324, "C": 0.338}}
_FRACTIONS = "134 of 508 answers are no integers; 111 questions are in addsub too, 24 of its test in addsub's train"
BENCHMARKS: dict[str, Benchmark] = {
    "single_eq": Benchmark(
        "SingleEq/questions.json",
        "051507bd2b489c257057b485774a83d2710c23a4bc0f4a58e1822ae2773ef05e",
        "number",
        508,
        356,
        "121c875ea6af1297fa34e3eb963390b6f0d0a0954d0819a3b5fe0d7c56d0ab98",
        {},
        _FRACTIONS,
        _single_eq,
    ),
    "addsub": Benchmark(
        "AddSub/AddSub.json",
        "21930fa90385c72b5a15f4b9a4dda27276b889ae9ff44285505cdd9fa0a20df8",
        "number",
        395,
        276,
        "30d76d7e279aa3b4c2c51d7da401216ad175c33115d1dce8cf6925e228baf255",
        {},
        "126 of 395 answers are no integers; 111 questions are in single_eq too",
        _addsub,
    ),
    "multiarith": Benchmark(
        "MultiArith/MultiArith.json",
        "dc9db1b6cc68b1ecc2dec830d15aaf8c9a0932aa31d5ffce88ef3628179d36f4",
        "number",
        600,
        420,
        "4dc833702af9ef22f69978816e9e2b8dc79eee7415a1ccf00dfe1328793f2b78",
        {},
        "20 repeated questions; use split: template against shared templates",
        _multiarith,
    ),
    "svamp": Benchmark(
        "SVAMP/SVAMP.json",
        "5be77703a6d891ae476d7c082787ad361392aa02453b132516cdd5f4e7934e3e",
        "number",
        1000,
        700,
        "4e97e745f0abd2b64b43429b35f76400a1360d8483a4cde253fad5f9041b235f",
        {},
        "the sentence before the question often lacks its full stop; each question varies another data set's",
        _svamp,
    ),
    "date_understanding": Benchmark(
        "Bigbench_Date/task.json",
        "ff716f0e399109146db3a998281c39954907b78268a9b633a95582d63847822f",
        "letter",
        369,
        258,
        "80123ea9f35bbe754210bc8177c4d49fe05fd3e7c79c842d67b4c1c00b407388",
        _DATE_SHARES,
        "41 contexts with 9 questions each, on both sides of the split; use split: template",
        _date,
    ),
    "tracking_shuffled_objects": Benchmark(
        "Bigbench_object_tracking/task.json",
        "74b74d3c8827c0387a3f24ee9efa7edd90b2d53af3daacb9961341af66f750a0",
        "letter",
        750,
        525,
        "5ee7cb0c42498a3a3a74f68afcf37986e1fef1e38307f8e7afb471738c09d342",
        _TRACKING_SHARES,
        "250 stories with 3 questions each, on both sides of the split",
        _tracking,
    ),
    "last_letter_concatenation": Benchmark(
        "last_letters/last_letters.json",
        "60e8d092d0a6423d3256e87e0c249b69aefea4cd27985082095fa4e93931fb02",
        "letters",
        500,
        350,
        "9a174d8288cacd80c31df85af6f58afd07ed556bf1ae2cfeec3985aa44869466",
        {},
        "15 rows have a name of two words, so that 5 words have 4 letters as gold (6 of them test)",
        _ready,
    ),
    "coin_flip": Benchmark(
        "coin_flip/coin_flip.json",
        "68cf201737a1463ef6bed5419622805a8934d92bff6a28a9dfbf83be3135ba5a",
        "yes_no",
        500,
        350,
        "a3aa3c4a2619c7e4cb70396b8e3d29afafd510114e9eed3ec4a3c6afd7920ae3",
        {"train": {"yes": 0.531}, "test": {"yes": 0.447}},
        "only 16 flip patterns, all of them in train; unseen_patterns holds some out",
        _ready,
    ),
}

# Also the published SHA-256 of last letters: the same 500 rows, the same rule.
_COIN_FLIP_SPLIT = "a5f7ffe4a1a1e0181cbd9d00259d34f980c0073efe8a3ed25f69433cfb74a3a4"
SPLIT_FILES = {
    "addsub__default.json": "1a6f70a39554084978a44439db0b661b039ce4dd2c09572d2ff9f44f5ef668d0",
    "coin_flip__default.json": _COIN_FLIP_SPLIT,
    "date_understanding__default.json": "5fbfdd1f0db941dce6accd7f43316eda2a2254f3a80f9a3a045f5a19bfb04578",
    "date_understanding__template.json": "9b4508734ffc2ae908615e3f9f6ca3c9e27f44e4b5e714d220bd7152ddd39d89",
    "last_letter_concatenation__default.json": _COIN_FLIP_SPLIT,
    "multiarith__default.json": "f2f47aeb18026cb3d1909b38b8828693aeaf624af3282d8021dbee32008a1409",
    "multiarith__template.json": "188abcfb1358424791e2d9c8d622ad10356283405fab11e1a58fa374cd9a48f4",
    "single_eq__default.json": "d46feb082615045ea0909c5ed062ef85f29ba95223cbca39e0bfbb1ad1b5e1b7",
    "svamp__default.json": "fae6cc3a5c50952da78b66991182be507c8585e6a59954e03bd997488608ab1f",
    "tracking_shuffled_objects__default.json": "6f2a4637d6e0692297e5eaa66bf53518445e1fbae1d94f28daae0040b7a1156a",
}

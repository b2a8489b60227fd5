"""The published benchmarks: one record each. Settings, prompts, exemplar limits and question files take from here.

To add a benchmark, add a record; its reader may live in `benchmark_rows`. The records stand below the settings (and so
not in `raydistill.tasks`), because the choices of `questions.tasks` are their names and prompts ask them too.

The files are not part of this package; `raydistill.tasks.download` gets them. The BIG-bench files carry a canary
string: keep the data out of any pre-training corpus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from raydistill.method import benchmark_rows
from raydistill.method.questions import Question

_ROWS_URL = (
    "https://raw.githubusercontent.com/kojima-takeshi188/zero_shot_cot/5ef330fcdeec0cd26aee27943504f91f8ec1c33c/dataset"
)
_SPLITS_URL = (
    "https://raw.githubusercontent.com/itsnamgyu/reasoning-teacher/a2ca4d28d3bbabbd77106b76d06885d1a5eac0d9/data/split"
)


class ExemplarLimits(NamedTuple):
    """Auto-CoT's limits for the exemplars of a task (Zhang et al. 2022)."""

    clusters: int = 8
    """Number of clusters k."""
    question_words: int = 60
    """Longest question, in words of "Q: …\\nA:"."""
    rationale_lines: int = 5
    """Longest rationale, "Let's think step by step." included."""


AUTO_COT = ExemplarLimits()
"""Those of most tasks."""


class TemplateSplit(NamedTuple):
    """A published split without a question template on both sides (Ho et al. 2023)."""

    sha256: str
    """Of its file."""
    train_rows: int
    test_rows: int


@dataclass(frozen=True)
class Benchmark:
    """A published data set: its file, what is in it, and what the method does for it."""

    name: str
    answer_type: str
    """A name of `ANSWER_TYPES`."""
    file: str
    """Below `base_url`, and in a folder of local copies."""
    sha256: str
    """Of the file."""
    read: Callable[[str], list[Question]]
    """The file's text as questions, in file order."""
    rows: int
    train_rows: int
    questions_sha256: str
    """Of the (question, gold answer) pairs: JSON lists of two, one a line."""
    split_sha256: str
    """Of the published file of the 70:30 split; "" if there is none."""
    hazards: str
    """What an accuracy on it must be read with."""
    template_split: TemplateSplit | None = None
    gold_ratios: dict[str, dict[str, float]] = field(default_factory=dict)
    """Published ratios of gold answers per split."""
    n_options: int = 0
    """Options of a letter question, at most."""
    exemplars: ExemplarLimits = AUTO_COT
    base_url: str = _ROWS_URL

    @property
    def url(self) -> str:
        """Where the file is published."""
        return f"{self.base_url}/{self.file}"


def split_url(file: str) -> str:
    """Return where a split file is published."""
    return f"{_SPLITS_URL}/{file}"


# Also that of last letters: the same 500 rows, the same rule.
_COIN_FLIP_SPLIT = "a5f7ffe4a1a1e0181cbd9d00259d34f980c0073efe8a3ed25f69433cfb74a3a4"

_RECORDS = (
    Benchmark(
        name="single_eq",
        answer_type="number",
        file="SingleEq/questions.json",
        sha256="051507bd2b489c257057b485774a83d2710c23a4bc0f4a58e1822ae2773ef05e",
        read=benchmark_rows.single_eq,
        rows=508,
        train_rows=356,
        questions_sha256="121c875ea6af1297fa34e3eb963390b6f0d0a0954d0819a3b5fe0d7c56d0ab98",
        split_sha256="d46feb082615045ea0909c5ed062ef85f29ba95223cbca39e0bfbb1ad1b5e1b7",
        hazards="134 of 508 answers are no integers; 111 questions are in addsub too, 24 of its test in addsub's train",
    ),
    Benchmark(
        name="addsub",
        answer_type="number",
        file="AddSub/AddSub.json",
        sha256="21930fa90385c72b5a15f4b9a4dda27276b889ae9ff44285505cdd9fa0a20df8",
        read=benchmark_rows.addsub,
        rows=395,
        train_rows=276,
        questions_sha256="30d76d7e279aa3b4c2c51d7da401216ad175c33115d1dce8cf6925e228baf255",
        split_sha256="1a6f70a39554084978a44439db0b661b039ce4dd2c09572d2ff9f44f5ef668d0",
        hazards="126 of 395 answers are no integers; 111 questions are in single_eq too",
    ),
    Benchmark(
        name="multiarith",
        answer_type="number",
        file="MultiArith/MultiArith.json",
        sha256="dc9db1b6cc68b1ecc2dec830d15aaf8c9a0932aa31d5ffce88ef3628179d36f4",
        read=benchmark_rows.multiarith,
        rows=600,
        train_rows=420,
        questions_sha256="4dc833702af9ef22f69978816e9e2b8dc79eee7415a1ccf00dfe1328793f2b78",
        split_sha256="f2f47aeb18026cb3d1909b38b8828693aeaf624af3282d8021dbee32008a1409",
        template_split=TemplateSplit(
            "188abcfb1358424791e2d9c8d622ad10356283405fab11e1a58fa374cd9a48f4", train_rows=413, test_rows=187
        ),
        hazards="20 repeated questions; use split: template against shared templates",
    ),
    Benchmark(
        name="svamp",
        answer_type="number",
        file="SVAMP/SVAMP.json",
        sha256="5be77703a6d891ae476d7c082787ad361392aa02453b132516cdd5f4e7934e3e",
        read=benchmark_rows.svamp,
        rows=1000,
        train_rows=700,
        questions_sha256="4e97e745f0abd2b64b43429b35f76400a1360d8483a4cde253fad5f9041b235f",
        split_sha256="fae6cc3a5c50952da78b66991182be507c8585e6a59954e03bd997488608ab1f",
        hazards="the sentence before the question often lacks its full stop; each question varies another data set's",
    ),
    Benchmark(
        name="date_understanding",
        answer_type="letter",
        file="Bigbench_Date/task.json",
        sha256="ff716f0e399109146db3a998281c39954907b78268a9b633a95582d63847822f",
        read=benchmark_rows.date_understanding,
        rows=369,
        train_rows=258,
        questions_sha256="80123ea9f35bbe754210bc8177c4d49fe05fd3e7c79c842d67b4c1c00b407388",
        split_sha256="5fbfdd1f0db941dce6accd7f43316eda2a2254f3a80f9a3a045f5a19bfb04578",
        template_split=TemplateSplit(
            "9b4508734ffc2ae908615e3f9f6ca3c9e27f44e4b5e714d220bd7152ddd39d89", train_rows=261, test_rows=108
        ),
        gold_ratios={"test": {"C": 0.279, "E": 0.207, "B": 0.153, "D": 0.135, "F": 0.126, "A": 0.099}},
        n_options=6,
        hazards="41 contexts with 9 questions each, on both sides of the split; use split: template",
    ),
    Benchmark(
        name="tracking_shuffled_objects",
        answer_type="letter",
        file="Bigbench_object_tracking/task.json",
        sha256="74b74d3c8827c0387a3f24ee9efa7edd90b2d53af3daacb9961341af66f750a0",
        read=benchmark_rows.tracking_shuffled_objects,
        rows=750,
        train_rows=525,
        questions_sha256="5ee7cb0c42498a3a3a74f68afcf37986e1fef1e38307f8e7afb471738c09d342",
        split_sha256="6f2a4637d6e0692297e5eaa66bf53518445e1fbae1d94f28daae0040b7a1156a",
        gold_ratios={"test": {"A": 0.338, "B": 0.324, "C": 0.338}},
        n_options=3,
        exemplars=ExemplarLimits(question_words=120),
        hazards="250 stories with 3 questions each, on both sides of the split",
    ),
    Benchmark(
        name="last_letter_concatenation",
        answer_type="letters",
        file="last_letters/last_letters.json",
        sha256="60e8d092d0a6423d3256e87e0c249b69aefea4cd27985082095fa4e93931fb02",
        read=benchmark_rows.examples,
        rows=500,
        train_rows=350,
        questions_sha256="9a174d8288cacd80c31df85af6f58afd07ed556bf1ae2cfeec3985aa44869466",
        split_sha256=_COIN_FLIP_SPLIT,
        exemplars=ExemplarLimits(clusters=4, rationale_lines=7),
        hazards="15 rows have a name of two words, so that 5 words have 4 letters as gold (6 of them test)",
    ),
    Benchmark(
        name="coin_flip",
        answer_type="yes_no",
        file="coin_flip/coin_flip.json",
        sha256="68cf201737a1463ef6bed5419622805a8934d92bff6a28a9dfbf83be3135ba5a",
        read=benchmark_rows.examples,
        rows=500,
        train_rows=350,
        questions_sha256="a3aa3c4a2619c7e4cb70396b8e3d29afafd510114e9eed3ec4a3c6afd7920ae3",
        split_sha256=_COIN_FLIP_SPLIT,
        gold_ratios={"train": {"yes": 0.531}, "test": {"yes": 0.447}},
        hazards="only 16 flip patterns, all of them in train; unseen_patterns holds some out",
    ),
)

BENCHMARKS: dict[str, Benchmark] = {record.name: record for record in _RECORDS}
"""By name."""


def exemplar_limits(task: str) -> ExemplarLimits:
    """Return the limits for exemplars of a benchmark or of the user's own task."""
    return BENCHMARKS[task].exemplars if task in BENCHMARKS else AUTO_COT

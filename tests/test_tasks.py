"""Benchmarks against the published figures, downloads against a real server, generators, splits and own files."""

from __future__ import annotations

import http.server
import json
import logging
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.config import QuestionSettings
from raydistill.method import answers
from raydistill.runtime import cache
from raydistill.runtime.errors import QuestionsError
from raydistill.tables import QUESTIONS
from raydistill.tasks import benchmark_checks, download, generated, leakage, load_questions, published, splits

ROOT = Path(__file__).resolve().parents[1]
ALL = list(published.BENCHMARKS)


def load(seed: int = 0, **values: Any) -> pa.Table:
    return load_questions(QuestionSettings.model_validate({"tasks": [], **values}), seed)


# --- the eight benchmarks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ALL)
def test_benchmark_is_as_published(data_dir: Path, task: str) -> None:
    found = list(benchmark_checks.benchmark_checks(task))
    assert len(found) >= 4
    assert [f for f in found if not f.ok] == []


def test_checks_see_a_difference(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = published.questions("coin_flip")
    changed = [items[0]._replace(answer="no"), *items[2:]]
    monkeypatch.setitem(
        published.BENCHMARKS, "coin_flip", replace(published.BENCHMARKS["coin_flip"], read=lambda text: changed)
    )
    failed = {f.what for f in benchmark_checks.checks() if not f.ok}
    assert failed == {"rows", "questions and gold", "train/test", "split by rule", "train answers", "test answers"}


def test_all_benchmarks_as_a_table(data_dir: Path) -> None:
    questions = load(tasks=ALL, source="published")
    assert questions.schema == QUESTIONS
    assert questions.num_rows == 4622
    assert len(questions["question_id"].unique()) == 4622
    assert questions.equals(load(tasks=ALL, source="published"))
    for row in questions.to_pylist():
        assert answers.is_correct(
            answers.canonical(row["answer"], row["answer_type"]), row["answer"], answer_type=row["answer_type"]
        )
        if row["choices"]:
            assert row["answer"] in "ABCDEF"[: len(row["choices"])]
            assert f"({row['answer']}) {row['choices']['ABCDEF'.index(row['answer'])]}" in row["question"]


def test_question_ids_survive_limits_and_other_tasks(data_dir: Path) -> None:
    whole = load(tasks=["svamp"])["question_id"].to_pylist()
    few = load(tasks=["addsub", "svamp"], limit_train=5, limit_test=3).filter(pc.field("task") == "svamp")
    assert few["split"].value_counts().to_pylist() == [
        {"values": "train", "counts": 5},
        {"values": "test", "counts": 3},
    ]
    assert few["question_id"].to_pylist() == [whole[row] for row in few["source_row"].to_pylist()]


def test_template_split_has_no_template_on_both_sides(data_dir: Path) -> None:
    default = leakage(load(tasks=["multiarith", "date_understanding"])).to_pylist()
    assert [(r["n"], r["exact"], r["masked_digits"]) for r in default] == [(180, 5, 77), (111, 0, 1)]
    assert default[1]["context"] == 111
    template = leakage(load(tasks=["multiarith", "date_understanding"], split="template")).to_pylist()
    assert [(r["n"], r["exact"], r["template"]) for r in template[:1]] == [(187, 0, 0)]
    assert (template[1]["n"], template[1]["context"]) == (108, 0)


def test_leakage_over_tasks_and_stories(data_dir: Path) -> None:
    rows = {r["task"]: r for r in leakage(load(tasks=ALL)).to_pylist()}
    assert rows["single_eq"]["other_task"] == 24
    assert rows["tracking_shuffled_objects"]["context"] == 198
    assert rows["coin_flip"]["template"] == 150


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tasks": ["svamp"], "source": "generated"}, "svamp cannot be generated"),
        ({"tasks": ["svamp"], "split": "template"}, "svamp do not have"),
        ({"tasks": ["coin_flip"], "source": "generated", "unseen_patterns": 16}, "have only 16"),
        ({"tasks": ["tracking_shuffled_objects"], "source": "generated", "generated_items": 6}, "3, 5 or 7"),
        ({"tasks": ["coin_flip"], "source": "generated", "generated_items": 1, "generated_size": 5000}, "not 5,000"),
        ({"file": "x.jsonl", "answer_type": "text", "name": "svamp"}, "name of a benchmark"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(QuestionsError, match=message):
        load(**values)


# --- downloads -------------------------------------------------------------------------------------------------------


class FileServer(http.server.ThreadingHTTPServer):
    """Serves a folder; hangs up within the first `broken_answers` of its answers, `status` answers that alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.broken_answers = 0
        self.status = 0
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.path)
        if server.status:
            self.send_error(server.status)
            return
        body = (server.folder / self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        is_broken = len(server.requests) <= server.broken_answers
        self.wfile.write(body[: len(body) // 2] if is_broken else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A mirror with a copy of the files; no local copies, an empty cache."""
    shutil.copytree(data_dir, tmp_path / "mirror")
    monkeypatch.delenv("RAYDISTILL_DATA_DIR")
    monkeypatch.setenv("RAYDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "ATTEMPTS", 2)  # pooch waits a second between them
    with FileServer(tmp_path / "mirror") as running:
        monkeypatch.setenv("RAYDISTILL_DATA_URL", running.url)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_download_once(server: FileServer) -> None:
    first = load(tasks=["multiarith"], source="published", split="template")
    assert server.requests == [
        "/MultiArith/MultiArith.json",
        "/splits/multiarith__template.json",
    ]
    assert load(tasks=["multiarith"], source="published", split="template").equals(first)
    assert len(server.requests) == 2
    assert sorted(p.name for p in cache.folder("questions").rglob("*.json*") if p.suffix != ".lock") == [
        *("MultiArith.json", "multiarith__template.json")
    ]


def test_a_cached_file_needs_no_lock(server: FileServer) -> None:
    """A cache that several users share may be read-only for this one."""
    first = load(tasks=["coin_flip"], source="published")
    locks = list(cache.folder("questions").rglob("*.lock"))
    assert locks
    for lock in locks:
        lock.unlink()
    assert load(tasks=["coin_flip"], source="published").equals(first)
    assert not list(cache.folder("questions").rglob("*.lock"))


def test_a_broken_download_is_tried_again(server: FileServer) -> None:
    server.broken_answers = 1
    assert load(tasks=["coin_flip"], source="published").num_rows == 500
    assert len(server.requests) == 2


def test_a_download_that_keeps_breaking_leaves_nothing_behind(server: FileServer) -> None:
    server.broken_answers = 100
    with pytest.raises(QuestionsError, match="Cannot download"):
        load(tasks=["coin_flip"], source="published")
    assert len(server.requests) == download.ATTEMPTS
    files = [path.name for path in cache.folder("questions").rglob("*") if path.is_file()]
    assert set(files) <= {"coin_flip.json.lock"}
    server.broken_answers = 0
    assert load(tasks=["coin_flip"], source="published").num_rows == 500


def test_damaged_cache_is_fetched_anew(server: FileServer) -> None:
    load(tasks=["coin_flip"], source="published")
    (cache.folder("questions") / "coin_flip" / "coin_flip.json").write_text("{}")
    assert load(tasks=["coin_flip"], source="published").num_rows == 500


def test_another_file_is_refused(server: FileServer) -> None:
    (server.folder / "coin_flip" / "coin_flip.json").write_text('{"examples": []}')
    with pytest.raises(QuestionsError, match=r"coin_flip\.json: SHA256 hash .* expected 68cf2017\w+ but got"):
        load(tasks=["coin_flip"], source="published")
    assert not (cache.folder("questions") / "coin_flip" / "coin_flip.json").exists()


def test_missing_file_is_not_asked_for_again(server: FileServer) -> None:
    server.status = 404
    with pytest.raises(QuestionsError, match="404 Not Found"):
        load(tasks=["coin_flip"], source="published")
    assert len(server.requests) == 1


def test_busy_server_is_asked_again(server: FileServer) -> None:
    server.status = 503
    with pytest.raises(QuestionsError, match="503"):
        load(tasks=["coin_flip"], source="published")
    assert len(server.requests) == download.ATTEMPTS


def test_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAYDISTILL_DATA_URL", "http://127.0.0.1:9")
    with pytest.raises(QuestionsError, match=r"Cannot download .*refused.*\n.*RAYDISTILL_DATA_DIR.*SVAMP/SVAMP.json"):
        load(tasks=["svamp"])
    with caplog.at_level(logging.WARNING):
        assert load(tasks=["coin_flip"]).equals(load(tasks=["coin_flip"], source="generated"))
    assert "the questions are generated" in caplog.text
    monkeypatch.setenv("RAYDISTILL_DATA_URL", "http://user:secret-token@127.0.0.1:9")
    with pytest.raises(QuestionsError) as error, caplog.at_level(logging.INFO):
        load(tasks=["svamp"])
    assert "secret-token" not in f"{error.value} {caplog.text}"
    monkeypatch.setenv("RAYDISTILL_DATA_URL", "ftp://x")
    with pytest.raises(QuestionsError, match="no http"):
        load(tasks=["svamp"])


def test_parallel_downloads(server: FileServer) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(load(tasks=["addsub"], source="published").num_rows))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [395] * 4
    assert len(server.requests) == 1


def test_local_copy_must_be_the_published_file(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SVAMP").mkdir()
    (tmp_path / "SVAMP" / "SVAMP.json").write_text("[]")
    monkeypatch.setenv("RAYDISTILL_DATA_DIR", str(tmp_path))
    with pytest.raises(QuestionsError, match=r"SVAMP\.json is not the published file"):
        load(tasks=["svamp"])
    monkeypatch.setenv("RAYDISTILL_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(QuestionsError, match="which is no folder"):
        load(tasks=["svamp"])


# --- generated questions ---------------------------------------------------------------------------------------------


def test_generators_write_the_published_wording(data_dir: Path) -> None:
    for item in published.questions("coin_flip"):
        people = re.findall(r"(?:(?<=up\. )|(?<=coin\. ))(.*?) (?:flips|does not flip) the coin", item.text)
        assert generated.coin_flip(people, splits.flips(item.text)) == item
    for item in published.questions("last_letter_concatenation"):
        words = re.findall(r'"(.*)"', item.text)[0].split(" ")
        if len(words) == 4:  # not the names of two words
            assert generated.last_letters(words) == item
    for item in published.questions("tracking_shuffled_objects"):
        people = generated.PLAYERS[:3]
        (theme,) = (t for t in generated.THEMES if t.swap in item.text)
        swaps = re.findall(rf"(?:First|Then|Finally), (\w+) and (\w+) {theme.swap}", item.text)
        asked = re.findall(r"At the end of the \w+, (\w+) ", item.text)[0]
        numbers = [(people.index(a), people.index(b)) for a, b in swaps]
        assert generated.shuffled_objects(theme, people, item.choices, numbers, people.index(asked)) == item


@given(st.sampled_from(["coin_flip", "last_letter_concatenation"]), st.integers(1, 12), st.integers(4, 60))
@settings(max_examples=40, deadline=None)
def test_generated_questions_of_any_size(task: str, items: int, size: int) -> None:
    values: dict[str, Any] = {"tasks": [task], "source": "generated", "generated_items": items, "generated_size": size}
    questions = load(seed=3, **values)
    assert questions.equals(load(seed=3, **values))
    assert not questions.equals(load(seed=4, **values))
    assert len(set(questions["question"].to_pylist())) == size
    assert questions["split"].to_pylist().count("train") == round(0.7 * size)
    for row in questions.to_pylist():
        if task == "coin_flip":
            pattern = splits.flips(row["question"])
            assert (len(pattern), row["answer"]) == (items, "no" if sum(pattern) % 2 else "yes")
        else:
            words = re.findall(r'"(.*)"', row["question"])[0].split()
            assert (len(words), row["answer"]) == (items, "".join(word[-1] for word in words))


@pytest.mark.parametrize(("items", "objects"), [(3, 3), (4, 3), (5, 5), (7, 7)])
def test_generated_tracking(items: int, objects: int) -> None:
    questions = load(
        tasks=["tracking_shuffled_objects"], source="generated", generated_items=items, generated_size=10 * objects
    ).to_pylist()
    assert set(Counter(row["answer"] for row in questions).values()) == {10}
    for row in questions:
        assert len(set(row["choices"])) == objects
        held = dict(re.findall(r"(\w+) (?:has a|is playing|gets|is dancing with) ([^,.]+?)(?:,|\.)", row["question"]))
        assert len(held) == objects
        swaps = re.findall(r"(?:First|Then|Finally), (\w+) and (\w+) ", row["question"])
        assert len(swaps) == objects
        for a, b in swaps:
            held[a], held[b] = held[b], held[a]
        asked = re.findall(r"At the end of the \w+, (\w+) ", row["question"])[0]
        assert row["choices"]["ABCDEFG".index(row["answer"])] == held[asked]
        assert answers.extract(f"({row['answer']})", answer_type="letter", choices=row["choices"]) == row["answer"]


def test_more_items_than_names() -> None:
    questions = load(tasks=["coin_flip"], source="generated", generated_items=1_000, generated_size=4)
    assert len(splits.flips(questions["question"][0].as_py())) == 1_000


def test_other_sizes_are_generated_though_a_file_is_at_hand(data_dir: Path) -> None:
    assert load(tasks=["coin_flip"])["question"][0].as_py().startswith("A coin is heads up. Whitney")
    eight = load(tasks=["coin_flip"], generated_items=8)
    assert {len(splits.flips(question)) for question in eight["question"].to_pylist()} == {8}


@pytest.mark.parametrize(
    ("source", "unseen", "items"),
    [*(("generated", u, n) for u, n in ((1, 4), (4, 4), (15, 4), (40, 8))), *(("published", u, 4) for u in (1, 5, 15))],
)
def test_unseen_patterns(data_dir: Path, source: str, unseen: int, items: int) -> None:
    values = {"tasks": ["coin_flip"], "source": source, "generated_items": items, "unseen_patterns": unseen}
    rows = load(seed=1, **values).to_pylist()
    patterns: dict[str, set[tuple[bool, ...]]] = {"train": set(), "test": set(), "test_unseen": set()}
    for row in rows:
        patterns[row["split"]].add(splits.flips(row["question"]))
    assert len(patterns["test_unseen"]) == unseen
    assert not patterns["test_unseen"] & (patterns["train"] | patterns["test"])
    with_yes = sum(sum(pattern) % 2 == 0 for pattern in patterns["test_unseen"])
    assert with_yes in (unseen // 2, (unseen + 1) // 2)
    seen = [row["split"] for row in rows if row["split"] != "test_unseen"]
    assert seen == splits.random_split(len(seen))
    other = {r["source_row"] for r in load(seed=2, **values).to_pylist() if r["split"] == "test_unseen"}
    assert other != {r["source_row"] for r in rows if r["split"] == "test_unseen"}


# --- own files -------------------------------------------------------------------------------------------------------


def jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


SUM = {"question": "2 + 3?", "answer": 5}


def own(file: str, answer_type: str = "number", **values: Any) -> list[dict[str, Any]]:
    return load(file=file, answer_type=answer_type, **values).to_pylist()  # type: ignore[no-any-return]


def test_own_jsonl(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"q": f"{n} + 1?", "a": float(n + 1)} for n in range(10)] + [""])
    rows = own(file, columns={"question": "q", "answer": "a"}, test_fraction=0.2, name="sums")
    assert [(r["task"], r["answer"], r["source_row"]) for r in rows[:2]] == [("sums", "1.0", 0), ("sums", "2.0", 1)]
    assert Counter(r["split"] for r in rows) == {"train": 8, "test": 2}
    again = load(seed=5, file=file, answer_type="number", columns={"question": "q", "answer": "a"}, test_fraction=0.2)
    assert again["split"].to_pylist() != [r["split"] for r in rows]


def test_own_csv_with_choices_and_split(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "question,answer,choices,split\r\n"
        '"What is blue, mostly?",the sky,grass|the sky,train\r\n'
        "Which?,b,x|y|z,Test\r\n"
        '"Pick (A) one or\n(B) two.",A,one|two,test_unseen\r\n'
    )
    rows = own(str(file), "letter")
    assert [(r["answer"], r["split"], r["choices"]) for r in rows] == [
        ("B", "train", ["grass", "the sky"]),
        ("B", "test", ["x", "y", "z"]),
        ("A", "test_unseen", ["one", "two"]),
    ]
    assert rows[0]["question"].endswith("\nWhich choice is true? Answer choices: (A) grass, (B) the sky.")
    assert rows[2]["question"] == "Pick (A) one or\n(B) two."


def test_own_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"question": ["Is it?", "Was it?"], "answer": [True, False], "n": [1, 2]}), file)
    assert [r["answer"] for r in own(str(file), "yes_no")] == ["yes", "no"]


def test_own_hub_data_set(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    for name in ("train", "test"):
        jsonl(tmp_path / f"{name}.jsonl", [{"question": f"{name} {n}?", "answer": str(n)} for n in range(3)])
    rows = own(f"hf://{tmp_path}")
    assert sorted((r["split"], r["answer"]) for r in rows) == [(s, str(n)) for s in ("test", "train") for n in range(3)]


def test_hub_data_set_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(QuestionsError, match="needs the package datasets"):
        own("hf://gsm8k:main")


def test_own_repetitions_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", [SUM, {"question": "1 + 1?", "answer": "2"}, {"question": "2  + 3?", "answer": "5.0"}]
    )
    with caplog.at_level(logging.WARNING):
        assert [r["source_row"] for r in own(file)] == [0, 1]
    assert "1 repeated questions left out" in caplog.text
    assert "line 3 repeats line 1" in caplog.text


@pytest.mark.parametrize(
    ("answer_type", "rows", "message"),
    [
        ("number", [SUM, "{oops"], "line 2: not JSON"),
        ("number", [SUM, "[1]"], "line 2: a JSON list, expected an object"),
        ("number", [SUM, {"question": "?"}], "line 2: there is no \"answer\", only 'question'"),
        ("number", [SUM, {"question": " ", "answer": 1}], "line 2: \"question\" is ' '"),
        ("number", [SUM, {"question": "Why?", "answer": ""}], "line 2: \"answer\" is '', expected one number"),
        ("number", [SUM, {"question": "Why?", "answer": "1 or 2"}], "line 2: \"answer\" is '1 or 2'"),
        ("number", [SUM, {"question": "Why?", "answer": None}], 'line 2: "answer" is None'),
        ("number", ['{"question": "Why?", "answer": NaN}'], "line 1"),
        ("number", [SUM, SUM | {"answer": 6}], "line 2: the question of line 1 again, with the answer '6'"),
        ("number", [SUM | {"split": "dev"}], "line 1: \"split\" is 'dev', expected train or test"),
        ("number", [SUM | {"split": "train"}, {"question": "1?", "answer": 1}], '1 of 2 questions have a "split"'),
        ("number", [SUM | {"split": "test"}], "has no train questions"),
        ("number", [], "holds no questions"),
        ("yes_no", [{"question": "Is it?", "answer": "maybe"}], "line 1: \"answer\" is 'maybe', expected yes or no"),
        ("letters", [{"question": "Which?", "answer": "a b"}], "expected one word of letters"),
        ("letter", [{"question": "Which?", "answer": "A"}], 'there is no "choices"'),
        ("letter", [{"question": "Which?", "answer": "C", "choices": ["x", "y"]}], "is 'C', expected the letter"),
        ("letter", [{"question": "Which?", "answer": "A", "choices": ["x", "x"]}], "empty or repeated option"),
        ("letter", [{"question": "Which?", "answer": "A", "choices": "x"}], "expected 2 to 26 option texts"),
    ],
)
def test_own_file_mistakes_name_the_line(tmp_path: Path, answer_type: str, rows: list[Any], message: str) -> None:
    file = jsonl(tmp_path / "mine.jsonl", rows)
    with pytest.raises(QuestionsError, match=re.escape(message)) as error:
        own(file, answer_type)
    assert "mine.jsonl" in str(error.value)


def test_own_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,answer\n"open,1\n')
    (tmp_path / "b.csv").write_text("question,answer\n1 + 1?,2,3\n")
    (tmp_path / "c.jsonl").write_bytes(b'{"question": "\xff"}')
    (tmp_path / "d.parquet").write_text("no parquet")
    (tmp_path / "e.xlsx").write_text("")
    for name, message in {
        "a.csv": "not CSV",
        "b.csv": "line 2: more fields than the header",
        "c.jsonl": "is not UTF-8",
        "d.parquet": "cannot be read",
        "e.xlsx": "neither .jsonl, .csv nor .parquet",
        "f.jsonl": "is no file",
    }.items():
        with pytest.raises(QuestionsError, match=message):
            own(str(tmp_path / name))
    with pytest.raises(QuestionsError, match='no column "part"'):
        own(jsonl(tmp_path / "g.jsonl", [SUM]), columns={"split": "part"})


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_load_or_are_explained(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        (folder / name).write_bytes(content)
        with pytest.raises(QuestionsError):
            own(str(folder / name))


# --- the job ---------------------------------------------------------------------------------------------------------


def job(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, str(ROOT / "jobs" / "questions.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def test_job_checks(data_dir: Path, tmp_path: Path) -> None:
    done = job("--check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("All eight benchmarks are as published.\n")
    shutil.copytree(data_dir, tmp_path / "data")
    (tmp_path / "data" / "AddSub").chmod(0o755)
    (tmp_path / "data" / "AddSub" / "AddSub.json").unlink()
    (tmp_path / "data" / "AddSub" / "AddSub.json").write_text("[]")
    done = job("--check", RAYDISTILL_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 1
    assert "FAIL addsub" in done.stdout


def test_job_lists_shows_and_exports(data_dir: Path, tmp_path: Path) -> None:
    done = job("--export", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "single_eq" in done.stdout
    read = pq.read_table(tmp_path / "out" / "svamp.parquet")
    assert read.schema == QUESTIONS
    assert read.num_rows == 1000
    done = job("--task", "coin_flip")
    assert done.stdout.count("Is the coin still heads up?") == 6
    assert job("--task", "coin").returncode == 2


def test_job_shows_own_questions(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"question": f"{n} + 1?", "answer": n + 1} for n in range(10)])
    done = job(
        *("--questions.tasks", "[]", "--questions.file", file, "--questions.answer_type", "number"),
        *("--questions.unseen_patterns", "0", "--examples", "1"),
    )
    assert done.returncode == 0, done.stderr
    assert "custom" in done.stdout
    assert "0 + 1?" in done.stdout

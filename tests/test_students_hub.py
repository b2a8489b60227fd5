"""Trained students are uploaded once, privately, with their cards; what fails is said and costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support import hub_server
from support.students import settings, tables, train
from transformers import AutoTokenizer, GenerationConfig

from raydistill.students import hub
from raydistill.students.records import StudentRow, student_table

TOKEN = "hf_this_is_secret"

PUSH = """
import json, sys
import pyarrow as pa
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.students import hub
from raydistill.tables import STUDENTS
rows = pa.Table.from_pylist(json.load(sys.stdin), schema=STUDENTS)
print(json.dumps(hub.push(rows, sys.argv[2], Store(sys.argv[1]), Progress())))
"""


def push(run: Path, rows: list[dict], url: str, token: str = TOKEN, target: str = "someone/mine") -> tuple[dict, str]:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    environment = {n: v for n, v in os.environ.items() if n not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    environment |= {"HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(run / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", PUSH, str(run), target],
        input=json.dumps(rows), env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_students_are_uploaded_once_and_failures_are_said(tmp_path: Path, tiny_gpt2: Path, tiny_t5: Path) -> None:
    questions, training = tables(methods=("vanilla",))
    config = settings(tmp_path, tiny_gpt2, tiny_t5, methods=["vanilla"], evaluate_untrained=True, max_steps=1)
    rows, _ = train(config, questions, training)
    trained = {Path(r["student"]).name: r for r in rows if r["method"] == "vanilla"}
    for row in trained.values():
        Path(row["checkpoint"], "README.md").write_text("---\nlibrary_name: transformers\n---\n# A card\n")
    repos = {name: f"someone/mine-{name}-coin_flip-vanilla-d1-seed0" for name in ("gpt2", "t5")}
    with hub_server.serve(TOKEN) as server:
        server.refused.add(repos["t5"])
        failed, said = push(tmp_path, rows, server.url)
        assert list(failed) == [trained["t5"]["trial"]]
        assert f"{repos['t5']} was not uploaded" in said
        assert "403" in said
        assert "1 students uploaded" in said
        assert server.private == {repos["gpt2"]: True}
        folder = Path(trained["gpt2"]["checkpoint"])
        assert server.files[repos["gpt2"]] == {p.name: p.read_bytes() for p in folder.iterdir()}
        shutil.copytree(folder, tmp_path / "down")
        AutoTokenizer.from_pretrained(tmp_path / "down")
        GenerationConfig.from_pretrained(tmp_path / "down")
        assert {"README.md", "model.safetensors"} <= set(server.files[repos["gpt2"]])

        server.refused.clear()
        failed, said = push(tmp_path, rows, server.url)
        assert failed == {}
        assert "1 students uploaded to someone/mine, 1 were there before" in said
        assert server.commits == [repos["gpt2"], repos["t5"]]

        Path(trained["t5"]["checkpoint"], "README.md").write_text(
            "---\nlibrary_name: transformers\n---\n# Judged anew\n"
        )
        push(tmp_path, rows, server.url)
        assert server.commits == [repos["gpt2"], repos["t5"], repos["t5"]]
        assert b"Judged anew" in server.files[repos["t5"]]["README.md"]

        failed, said = push(tmp_path, rows, server.url, token="hf_another", target="someone")
        assert len(failed) == 2
        assert all("401" in why for why in failed.values())
    assert all(Path(r["checkpoint"], "model.safetensors").exists() for r in trained.values())


def test_repository_names_are_valid_and_differ() -> None:
    from huggingface_hub.utils import validate_repo_id

    students = ["google/flan-t5-small", "/home/a/t5", "/home/b/t5", "x" * 200, "smollm2-135m", "a--b..c é"]
    rows = []
    for i, name in enumerate(students):
        rows.append(StudentRow(str(i) * 16, "coin_flip", "new_fine_tune_cot", degree=8, student=name, seed=0))
    names = hub.repositories(rows, "me/try-1")
    assert names[0] == "me/try-1-flan-t5-small-coin_flip-new_fine_tune_cot-d8-seed0"
    assert len(set(names)) == len(names)
    for name in names:
        validate_repo_id(name)
        assert len(name.partition("/")[2]) <= 96
    assert student_table(rows).num_rows == len(names)

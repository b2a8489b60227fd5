"""Trained students on the Hugging Face hub: one private repository each, the folder as it is, its card included.

`huggingface_hub` takes token and address from its own environment (HF_TOKEN or `hf auth login`, HF_ENDPOINT).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store, fingerprint

LONGEST = 96  # characters of a repository's name


def push(students: pa.Table, target: str, store: Store, progress: Progress) -> dict[str, str]:
    """Upload every STUDENTS row that this run trained to `target` ("owner" or "owner/prefix"), unless it is there.

    Returns why not, by trial, for those that could not be uploaded; each is also said, and the next command tries
    again. What was uploaded is noted in `students/<trial>/pushed.json`: another target, card or training uploads anew.
    """
    rows = [r for r in students.to_pylist() if not r["error"] and store.read_text(f"{_folder(r)}/config.json")]
    failed: dict[str, str] = {}
    with progress.stage("hub", total=len(rows), unit="students") as stage:
        pushed = 0
        for done, (row, repo) in enumerate(zip(rows, repositories(rows, target), strict=True)):
            stage.update(done)
            noted = store.read_text(f"students/{row['trial']}/pushed.json")
            card, trained = (
                store.read_text(f"students/{row['trial']}/{n}") for n in ("model/README.md", "metrics.json")
            )
            key = fingerprint(repo, _endpoint(), card, trained)
            if noted and json.loads(noted)["key"] == key:
                continue
            try:
                address = _upload(row, repo, store)
            except Exception as error:  # whatever the hub, the network or the disk does, the student is kept
                failed[row["trial"]] = _without_token(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
                progress.say(f"hub          {repo} was not uploaded: {failed[row['trial']]}")
                continue
            store.write_text(f"students/{row['trial']}/pushed.json", json.dumps({"key": key, "url": address}, indent=1))
            pushed += 1
        kept = len(rows) - pushed - len(failed)
        stage.finish(
            f"{pushed} students uploaded to {target}"
            + (f", {kept} were there before" if kept else "")
            + (f", {len(failed)} failed: run the command again (needs HF_TOKEN, may write)" if failed else "")
        )
    return failed


def repositories(rows: list[dict[str, Any]], target: str) -> list[str]:
    """Repository ids of STUDENTS rows, no two alike: what is too long or equal carries its trial's name."""
    owner, _, prefix = target.partition("/")
    names = []
    for r in rows:
        parts = [prefix, Path(r["student"]).name, r["task"], r["method"], f"d{r['degree']}", f"seed{r['seed']}"]
        joined = "-".join(p for p in parts if p)
        names.append(re.sub(r"[-.]{2,}", "-", re.sub(r"[^a-zA-Z0-9_.-]+", "-", joined)).strip("-."))
    count = Counter(names)
    for i, (name, row) in enumerate(zip(names, rows, strict=True)):
        if len(name) > LONGEST or count[name] > 1:
            names[i] = f"{name[: LONGEST - 9].strip('-.')}-{row['trial'][:8]}"
    return [f"{owner}/{name}" for name in names]


def _upload(row: dict[str, Any], repo: str, store: Store) -> str:
    """Upload one student's folder; returns the commit's address."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    api.create_repo(repo, private=True, exist_ok=True)  # one that exists stays as visible as it is
    with tempfile.TemporaryDirectory(prefix="raydistill-") as scratch:
        folder = f"{store.root}/{_folder(row)}"
        if not store.is_local:
            pafs.copy_files(folder, scratch, source_filesystem=store.fs, destination_filesystem=pafs.LocalFileSystem())
            folder = scratch
        done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"raydistill trial {row['trial']}")
    return str(done.commit_url)


def _folder(row: dict[str, Any]) -> str:
    return f"students/{row['trial']}/model"


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _without_token(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text

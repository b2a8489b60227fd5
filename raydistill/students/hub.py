"""Trained students on the Hugging Face hub: one private repository each, the folder as it is, its card included.

`huggingface_hub` takes token and address from its own environment (HF_TOKEN or `hf auth login`, HF_ENDPOINT).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from raydistill.runtime.formatting import first_line
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store, fingerprint
from raydistill.students.records import StudentRow, student_rows

MAX_REPOSITORY_NAME = 96  # characters
TRIAL_DIGITS = 8  # of a trial's name, in the name of a repository that would not be unique


def push(students: pa.Table, target: str, store: Store, progress: Progress) -> dict[str, str]:
    """Upload every student of STUDENTS that this run trained, unless it is there.

    What was uploaded is noted in `students/<trial>/pushed.json`: another target, card or training uploads anew.

    Args:
        students: STUDENTS.
        target: "owner" or "owner/prefix".
        store: the run directory.
        progress: shows the students; each that could not be uploaded is named.

    Returns:
        Why not, by trial, for those that could not be uploaded: the next command tries again.
    """
    trained = []
    for row in student_rows(students):
        if not row.error and store.read_text(f"{row.folder}/config.json"):
            trained.append(row)
    failures: dict[str, str] = {}
    pushed = 0
    with progress.stage("hub", total=len(trained), unit="students") as stage:
        for done, (student, repository) in enumerate(zip(trained, repositories(trained, target), strict=True)):
            stage.update(done)
            try:
                pushed += _upload_if_new(student, repository, store)
            except Exception as error:  # whatever the hub, the network or the disk does, the student is kept
                reason = _without_token(f"{type(error).__name__}: {first_line(error)}")
                failures[student.trial] = reason
                progress.say(f"hub          {repository} was not uploaded: {reason}")
        stage.finish(_summary(target, pushed=pushed, kept=len(trained) - pushed - len(failures), failed=len(failures)))
    return failures


def _summary(target: str, *, pushed: int, kept: int, failed: int) -> str:
    """Return the sentence that stays when the stage is done."""
    parts = [f"{pushed} students uploaded to {target}"]
    if kept:
        parts.append(f"{kept} were there before")
    if failed:
        parts.append(f"{failed} failed: run the same command again (needs HF_TOKEN, may write)")
    return ", ".join(parts)


def repositories(students: Sequence[StudentRow], target: str) -> list[str]:
    """Return a repository id for each student, no two alike.

    A name that is too long, or that two students would share, carries its trial's name.
    """
    owner, _, prefix = target.partition("/")
    names = [_repository_name(student, prefix) for student in students]
    counts = Counter(names)
    ids = []
    for name, student in zip(names, students, strict=True):
        if len(name) > MAX_REPOSITORY_NAME or counts[name] > 1:
            room = MAX_REPOSITORY_NAME - TRIAL_DIGITS - 1
            name = f"{name[:room].strip('-.')}-{student.trial[:TRIAL_DIGITS]}"
        ids.append(f"{owner}/{name}")
    return ids


def _repository_name(student: StudentRow, prefix: str) -> str:
    """Return a student's name in the characters that the hub takes."""
    model = Path(student.student).name
    parts = [prefix, model, student.task, student.method, f"d{student.degree}", f"seed{student.seed}"]
    joined = "-".join(part for part in parts if part)
    allowed = re.sub(r"[^a-zA-Z0-9_.-]+", "-", joined)
    return re.sub(r"[-.]{2,}", "-", allowed).strip("-.")


def _upload_if_new(student: StudentRow, repository: str, store: Store) -> bool:
    """Upload a student unless it is noted as uploaded; returns True if it was uploaded now."""
    note_file = f"students/{student.trial}/pushed.json"
    card = store.read_text(f"{student.folder}/README.md")
    metrics = store.read_text(f"students/{student.trial}/metrics.json")
    key = fingerprint(repository, _endpoint(), card, metrics)
    note = store.read_text(note_file)
    if note and json.loads(note)["key"] == key:
        return False
    url = _upload(student, repository, store)
    store.write_text(note_file, json.dumps({"key": key, "url": url}, indent=1))
    return True


def _upload(student: StudentRow, repository: str, store: Store) -> str:
    """Upload one student's folder; returns the commit's address."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    api.create_repo(repository, private=True, exist_ok=True)  # one that exists stays as visible as it is
    with tempfile.TemporaryDirectory(prefix="raydistill-") as scratch:
        folder = f"{store.root}/{student.folder}"
        if not store.is_local:
            pafs.copy_files(folder, scratch, source_filesystem=store.fs, destination_filesystem=pafs.LocalFileSystem())
            folder = scratch
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"raydistill trial {student.trial}"
        )
    return str(commit.commit_url)


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _without_token(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text

"""Every student's answers to its task's test questions: Ray Data actors, one model each, greedy and batched.

A trial's answers are kept in `students/<trial>/predictions.parquet`, named by what they depend on: another trial in the
grid costs only its own answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from raydistill.config import Affects, Settings, StudentSettings
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store, content_hash, fingerprint
from raydistill.students import card, evaluate
from raydistill.students.models import Student, StudentError, open_student, use_bf16
from raydistill.students.schedule import resources
from raydistill.tables import PREDICTIONS, QUESTIONS

TEST_SPLITS = ["test", "test_unseen"]
LARGEST_BLOCK = 1024  # questions; a block is what is lost when an actor dies

GREEDY = -1  # sample number of a greedy answer

_WORK = pa.schema(
    [("sample", pa.int32()), ("trial", pa.string()), ("method", pa.string()), ("checkpoint", pa.string()), *QUESTIONS]
)


def predict(questions: pa.Table, students: pa.Table, settings: Settings, store: Store, progress: Progress) -> pa.Table:
    """PREDICTIONS of every student that has a checkpoint on the splits test and test_unseen of its task."""
    tests = questions.filter(pc.is_in(questions["split"], pa.array(TEST_SPLITS)))
    wanted = {s["trial"]: s for s in students.to_pylist() if not s["error"]}
    asked = {trial: tests.filter(pc.field("task") == s["task"]) for trial, s in wanted.items()}
    keys = {trial: _key(asked[trial], settings.students, s["checkpoint"]) for trial, s in wanted.items()}
    finished = {trial: table for trial in wanted if (table := _read(store, trial, keys[trial])) is not None}
    pending = [trial for trial in wanted if trial not in finished and asked[trial].num_rows]
    total = sum(asked[trial].num_rows for trial in wanted)
    with progress.stage("predictions", total=total) as stage:
        stage.update(sum(t.num_rows for t in finished.values()))
        work = [(wanted[trial], asked[trial]) for trial in pending]
        parts: dict[str, list[pa.Table]] = {trial: [] for trial in pending}
        for answered in answers(work, settings) if work else []:
            trial = answered["trial"][0].as_py()
            parts[trial].append(answered)
            if sum(p.num_rows for p in parts[trial]) == asked[trial].num_rows:
                finished[trial] = pa.concat_tables(parts.pop(trial)).sort_by("question_id")
                _write(store, trial, keys[trial], finished[trial])
                card.write(wanted[trial], asked[trial], finished[trial], settings.teacher, store)
            stage.update(stage.done + answered.num_rows)
        lost = len(parts)  # opened by nobody, so answered by nobody
        stage.finish(
            f"{total:,} questions"
            + (f", {len(wanted) - len(pending)} students answered before" if len(pending) < len(wanted) else "")
            + (f", {lost} could not be opened and are in no figure" if lost else "")
        )
    tables = [finished[trial] for trial in wanted if trial in finished]
    table = pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()
    return table.sort_by([("trial", "ascending"), ("split", "ascending"), ("question_id", "ascending")])


def answers(
    work: list[tuple[dict[str, Any], pa.Table]], settings: Settings, samples: Sequence[int] = (GREEDY,)
) -> Iterable[pa.Table]:
    """PREDICTIONS of students (STUDENTS rows) on questions, block by block, each of one trial and one of `samples`.

    A sample other than GREEDY is drawn at `cascade.temperature`, with its number as the seed. A student that cannot be
    opened answers nothing.
    """
    if settings.local or settings.students.num_workers == 0:
        student = _Answering(settings.students, torch.cuda.is_available(), settings.cascade.temperature)
        yield from (part for block in _blocks(work, LARGEST_BLOCK, samples) if (part := student(block)).num_rows)
        return
    import ray.data

    one = settings.students.model_copy(update={"workers": 1})
    needs = resources(settings.model_copy(update={"students": one}))
    actors = min(needs.at_once, settings.students.max_concurrent_trials * settings.students.num_workers)
    rows = sum(table.num_rows for _, table in work)
    largest = min(LARGEST_BLOCK, max(settings.students.generation_batch_size, math.ceil(rows / (2 * actors))))
    blocks = _blocks(work, largest, samples)
    answered = ray.data.from_arrow(blocks).map_batches(
        _Answering,
        fn_constructor_args=(settings.students, needs.gpus > 0, settings.cascade.temperature),
        batch_size=None,  # a block is a batch: the questions of one student
        batch_format="pyarrow",
        num_cpus=needs.cpus,
        num_gpus=needs.gpus or None,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(blocks)), max_tasks_in_flight_per_actor=1),
    )
    parts = answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    yield from (part for part in parts if isinstance(part, pa.Table) and part.num_rows)


def _blocks(work: list[tuple[dict[str, Any], pa.Table]], largest: int, samples: Sequence[int]) -> list[pa.Table]:
    """Work cut into blocks of one student each, the longest questions first."""
    blocks = []
    for student, questions in work:
        order = pc.sort_indices(pc.utf8_length(questions["question"]), sort_keys=[("", "descending")])
        questions = questions.take(order).combine_chunks()
        for name in ("checkpoint", "method", "trial"):
            column = pa.repeat(pa.scalar(student[name], pa.string()), questions.num_rows)
            questions = questions.add_column(0, name, column)
        for sample in samples:
            numbered = questions.add_column(0, "sample", pa.repeat(pa.scalar(sample, pa.int32()), questions.num_rows))
            blocks += [numbered.slice(at, largest).cast(_WORK) for at in range(0, questions.num_rows, largest)]
    return blocks


class _Answering:
    """A Ray Data actor: the student of its last block stays loaded."""

    def __init__(self, settings: StudentSettings, gpu: bool, temperature: float) -> None:
        self.settings, self.gpu, self.temperature = settings, gpu, temperature
        self.loaded: tuple[str, Student] | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        if not block.num_rows:
            return PREDICTIONS.empty_table()
        checkpoint, method, trial = (block[name][0].as_py() for name in ("checkpoint", "method", "trial"))
        if self.loaded is None or self.loaded[0] != checkpoint:
            self.loaded = None  # frees the last one first
            dtype = torch.bfloat16 if use_bf16(self.settings.precision, self.gpu) else torch.float32
            try:
                student = open_student(checkpoint, dtype=dtype)
            except StudentError:  # no answers: the results say how many are missing, and other students go on
                return PREDICTIONS.empty_table()
            if self.gpu:
                student.model.to("cuda")
            self.loaded = (checkpoint, student)
        sample = block["sample"][0].as_py()
        answered = evaluate.ask(
            self.loaded[1],
            block.select(QUESTIONS.names),
            method,
            self.settings,
            temperature=0.0 if sample == GREEDY else self.temperature,
            seed=sample,
        )
        columns = {name: answered[name] for name in answered.column_names}
        columns |= {name: block[name] for name in ("task", "split")}
        columns["trial"] = pa.array([trial] * block.num_rows, pa.string())
        return pa.table({name: columns[name] for name in PREDICTIONS.names}, schema=PREDICTIONS)


def _key(questions: pa.Table, settings: StudentSettings, checkpoint: str) -> str:
    return fingerprint("predictions", content_hash(questions), settings.affecting(Affects.PREDICTIONS), checkpoint)


def _read(store: Store, trial: str, key: str) -> pa.Table | None:
    """A trial's finished predictions, if they were made under `key`."""
    name = f"students/{trial}/predictions"
    if store.read_text(f"{name}.key") != key:
        return None
    return pq.read_table(f"{store.root}/{name}.parquet", filesystem=store.fs, schema=PREDICTIONS)


def _write(store: Store, trial: str, key: str, table: pa.Table) -> None:
    name = f"students/{trial}/predictions"
    store.write_text(f"{name}.key", "")
    pq.write_table(table, f"{store.root}/{name}.parquet", filesystem=store.fs, compression="zstd")
    store.write_text(f"{name}.key", key)

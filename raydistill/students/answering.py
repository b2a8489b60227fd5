"""Students answer questions: Ray Data actors, one model each, greedy or sampled, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import torch

from raydistill.config import Settings, StudentSettings
from raydistill.students import evaluate
from raydistill.students.models import Student, StudentError, compute_dtype, open_student, use_bf16
from raydistill.students.records import StudentRow
from raydistill.students.schedule import runs_in_process
from raydistill.students.trial_resources import trial_resources
from raydistill.tables import PREDICTIONS, QUESTIONS

LARGEST_BLOCK = 1024  # questions; a block is what is lost when an actor dies

GREEDY = -1  # sample number of a greedy answer

_WORK = pa.schema(
    [("sample", pa.int32()), ("trial", pa.string()), ("method", pa.string()), ("checkpoint", pa.string()), *QUESTIONS]
)


class Assignment(NamedTuple):
    """A student and the questions that it answers."""

    student: StudentRow
    questions: pa.Table
    """QUESTIONS."""


def answer(
    assignments: Sequence[Assignment], settings: Settings, samples: Sequence[int] = (GREEDY,)
) -> Iterator[pa.Table]:
    """Yield PREDICTIONS of students on questions, block by block, each of one trial and one of `samples`.

    A sample other than GREEDY is drawn at `cascade.temperature`, with its number as the seed. A student that cannot be
    opened answers nothing.
    """
    if not assignments:
        return
    parts = _answer_here(assignments, settings, samples)
    if not runs_in_process(settings):
        parts = _answer_on_ray(assignments, settings, samples)
    for part in parts:
        if part.num_rows:
            yield part


def _answer_here(assignments: Sequence[Assignment], settings: Settings, samples: Sequence[int]) -> Iterator[pa.Table]:
    answerer = _Answerer(settings.students, torch.cuda.is_available(), settings.cascade.temperature)
    for block in _blocks(assignments, LARGEST_BLOCK, samples):
        yield answerer(block)


def _answer_on_ray(assignments: Sequence[Assignment], settings: Settings, samples: Sequence[int]) -> Iterator[pa.Table]:
    import ray.data

    students = settings.students
    single = students.model_copy(update={"num_workers": 1})  # an actor is one worker
    needs = trial_resources(settings.model_copy(update={"students": single}))
    actors = min(needs.trials_at_once, students.max_concurrent_trials * students.num_workers)
    rows = sum(assignment.questions.num_rows for assignment in assignments)
    # Two blocks an actor even out what they take; smaller ones than a batch would waste it.
    block_rows = max(students.generation_batch_size, math.ceil(rows / (2 * actors)))
    blocks = _blocks(assignments, min(LARGEST_BLOCK, block_rows), samples)
    answered = ray.data.from_arrow(blocks).map_batches(
        _Answerer,
        fn_constructor_args=(students, needs.gpus > 0, settings.cascade.temperature),
        batch_size=None,  # a block is a batch: the questions of one student
        batch_format="pyarrow",
        num_cpus=needs.cpus,
        num_gpus=needs.gpus or None,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(blocks)), max_tasks_in_flight_per_actor=1),
    )
    for part in answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        assert isinstance(part, pa.Table)
        yield part


def _blocks(assignments: Sequence[Assignment], largest: int, samples: Sequence[int]) -> list[pa.Table]:
    """Return the work cut into blocks of one student and sample each, the longest questions first."""
    blocks = []
    for student, questions in assignments:
        longest_first = pc.sort_indices(pc.utf8_length(questions["question"]), sort_keys=[("", "descending")])
        work = questions.take(longest_first).combine_chunks()
        for name in ("checkpoint", "method", "trial"):
            value = pa.scalar(getattr(student, name), pa.string())
            work = work.add_column(0, name, pa.repeat(value, work.num_rows))
        for sample in samples:
            numbers = pa.repeat(pa.scalar(sample, pa.int32()), work.num_rows)
            numbered = work.add_column(0, "sample", numbers).cast(_WORK)
            for begin in range(0, work.num_rows, largest):
                blocks.append(numbered.slice(begin, largest))
    return blocks


class _Answerer:
    """A Ray Data actor: the student of its last block stays loaded."""

    def __init__(self, settings: StudentSettings, gpu: bool, temperature: float) -> None:
        self.settings = settings
        self.gpu = gpu
        self.temperature = temperature
        self.checkpoint = ""
        self.student: Student | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        if not block.num_rows:
            return PREDICTIONS.empty_table()
        first = block.slice(0, 1).to_pylist()[0]
        try:
            student = self._open(first["checkpoint"])
        except StudentError:  # no answers: the results say how many are missing, and other students go on
            return PREDICTIONS.empty_table()
        sample = first["sample"]
        answered = evaluate.evaluate(
            student,
            block.select(QUESTIONS.names),
            first["method"],
            self.settings,
            temperature=0.0 if sample == GREEDY else self.temperature,
            seed=sample,
        )
        for name in ("trial", "task", "split"):
            answered = answered.append_column(name, block[name])
        return answered.select(PREDICTIONS.names).cast(PREDICTIONS)

    def _open(self, checkpoint: str) -> Student:
        """Return the student of this checkpoint, on the GPU if there is one.

        Raises:
            StudentError: it cannot be opened.
        """
        if self.student is None or self.checkpoint != checkpoint:
            self.student = None  # frees the last one first
            dtype = compute_dtype(use_bf16(self.settings.precision, self.gpu))
            student = open_student(checkpoint, dtype=dtype)
            if self.gpu:
                student.model.to("cuda")
            self.student = student
            self.checkpoint = checkpoint
        return self.student

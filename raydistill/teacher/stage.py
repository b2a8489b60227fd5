"""A run's teacher stage: PROMPTS in, SAMPLES out, whatever happens in between.

What is paid for is in the journal before anything depends on it, so a stage that ends early, for whatever reason, goes
on where it was when the same command is run again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings
from raydistill.runtime import run_id
from raydistill.runtime.progress import Progress
from raydistill.runtime.progress import Stage as ProgressLine
from raydistill.runtime.store import Store
from raydistill.tables import SAMPLES
from raydistill.teacher import batch, journal, online, summary
from raydistill.teacher import ledger as ledgers
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal import JournalError, compaction, segments
from raydistill.teacher.journal.folder import journal_folder
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.refused_parameters import learn_refusals
from raydistill.teacher.stage_limits import stage_limits

RELEASE_S = 1.5  # longest wait for actors to release their segments
_ORDER = ("task", "method", "degree", "question_id", "sample_index")


def run(
    stage: str,
    prompts: pa.Table,
    settings: Settings,
    endpoint: Endpoint,
    store: Store,
    progress: Progress,
    budget: Budget | None = None,
) -> pa.Table:
    """Ask the teacher every row of `prompts`.

    The stage's ledger is written to the store (`ledger.load`), and its failed rows as failed_<stage>, for a look if
    the stage fails.

    Args:
        stage: zero_shot, few_shot or llm_judge.
        prompts: tables.PROMPTS; of the LLM judge, tables.JUDGE_PROMPTS.
        settings: of the run.
        endpoint: where the teacher answers.
        store: of the run.
        progress: where the stage's line is shown.
        budget: of the stage, beside the run's; if either is used up, the rows that are left fail as "budget".

    Returns:
        tables.SAMPLES sorted by task, method, degree, question_id, sample_index: `degree` rows for each row asked,
        failed ones included (`error_kind`, `error`).

    Raises:
        BudgetReached: the next call could exceed `teacher.budget_usd` or `budget_tokens`; not with `budget`.
        TooManyFailures: a larger fraction than `max_failure_rate` of the rows failed; a re-run asks just those again.
        TeacherError: the endpoint rejects everything (key, model, account), or answers nothing any more.
        JournalError: the journal is of another format or its storage is full.
        KeyboardInterrupt: after the calls in flight came home (at most `teacher.timeout`).
    """
    settings = settings.absolute()
    run = run_id.load(store)
    folder = journal_folder(settings)
    _compact(folder, progress)
    buyer = Buyer(run.id, uuid.uuid4().hex, stage)
    with progress.stage(stage, prompts.num_rows) as line:
        job = online.Job(prompts, settings, endpoint, buyer, folder.id)
        table: pa.Table | None = None
        while table is None:
            if settings.teacher.transport == "batch":
                limits = stage_limits(settings.teacher, folder, run.names, stage, budget)
                table = _run_batches(job, folder, limits, line, run.names)
            else:
                batch.take_in(settings.teacher, endpoint, folder, buyer, run.names)
                limits = stage_limits(settings.teacher, folder, run.names, stage, budget, prompts.num_rows)
                table = _run_online(job, folder, limits, line, progress)
        table = table.sort_by([(name, "ascending") for name in _ORDER])
        samples = table.select(SAMPLES.names)
        ledger = ledgers.summarise(stage, table)
        store.write(f"ledger_{stage}", ledger, buyer.session)
        store.write(f"failed_{stage}", samples.filter(pc.not_equal(samples["error_kind"], "")), buyer.session)
        _compact_when_released(folder, progress)
        summary.check_failures(
            stage,
            samples,
            prompts.num_rows,
            settings.teacher.max_failure_rate,
            by_sample="sample_index" in prompts.column_names,
        )
        line.finish(summary.sentence(ledger, samples, endpoint.refuses))
    return samples.replace_schema_metadata(None)


def _run_batches(
    job: online.Job, folder: journal.Folder, limits: Limits, line: ProgressLine, run_names: Collection[str]
) -> pa.Table:
    teacher = job.settings.teacher
    rows = batch.run(job.prompts, teacher, job.endpoint, folder, job.buyer, limits, line, run_names=run_names)
    return pa.Table.from_pylist(rows, schema=ledgers.SAMPLES_WITH_CALLS)


def _run_online(
    job: online.Job, folder: journal.Folder, limits: Limits, line: ProgressLine, progress: Progress
) -> pa.Table | None:
    """Return the stage's rows; None if the model rejected a parameter: without it, the stage has to start anew."""
    table, snapshot = online.run(job, limits, line)
    if snapshot.count("damaged"):
        progress.say(
            "The journal is damaged in places; what stood there is bought again. "
            f"`raydistill inspect {job.settings.run_path}` names them."
        )
    stop = snapshot.stop
    if stop is None and snapshot.count("lost"):
        progress.say(f"{summary.unknown(snapshot)}.")
    if stop is None or stop.kind == "failures" or (stop.kind == "budget" and limits.on_budget == "fail_rows"):
        return table
    if stop.kind == "parameter":
        learn_refusals(job.endpoint, stop, job.settings.teacher, folder)
        return None
    raise summary.stop_error(stop, snapshot)


def _compact_when_released(folder: journal.Folder, progress: Progress) -> None:
    """Compact once the actors have released their segments; what they still hold is compacted by the next stage."""
    deadline = time.monotonic() + RELEASE_S
    _compact(folder, progress)
    while any(segments.is_segment(name) for name in folder.names()) and time.monotonic() < deadline:
        time.sleep(0.1)
        _compact(folder, progress)


def _compact(folder: journal.Folder, progress: Progress) -> None:
    """Compact; if the storage has no room for it, say so and go on: every answer is durable already."""
    damage: list[journal.Damage] = []
    try:
        compaction.compact(folder, damage)
    except JournalError as error:
        progress.say(f"The journal was not compacted: {error.message}")
    for item in damage:
        progress.say(f"The journal {folder.path} is damaged and left out there: {item}")

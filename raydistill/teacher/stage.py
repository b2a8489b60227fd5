"""A teacher stage on Ray Data: rows of ASKS in, rows of SAMPLES out, whatever happens in between.

Each asking actor runs many dialogues at once in one event loop; a window of open rows, not a batch, is the unit of
work, so no call waits for another. Blocks are only how rows travel: what is paid for is in the journal, and a block
that Ray runs again on another actor finds it there. All rows of one question text travel in one block, so that two
actors never ask the same thing at once.
"""

from __future__ import annotations

import asyncio
import platform
import threading
import time
import uuid
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.config import Settings, TeacherSettings, journal_path
from raydistill.runtime.errors import TeacherError, TooManyFailures, UserError, budget_reached
from raydistill.runtime.progress import Progress, Stage
from raydistill.runtime.store import Store
from raydistill.tables import SAMPLES
from raydistill.teacher import batch, journal
from raydistill.teacher import ledger as ledgers
from raydistill.teacher.caller import Caller, Provenance
from raydistill.teacher.dialogue import dialogue
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal import compaction
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.governor import Governor, Limits, Permits
from raydistill.teacher.preflight import learn_refusals

if TYPE_CHECKING:
    from ray.actor import ActorHandle

BLOCK_ROWS = 512
BLOCKS_AT_ONCE = 4  # per actor
POLL_S = 0.3
RELEASE_S = 1.5
DRAIN_S = 60.0  # longest wait for calls in flight after Ctrl-C
_OUT = pa.schema([*SAMPLES, ("ledger", pa.list_(ledgers.CALL))])
_ORDER = ("task", "method", "degree", "question_id", "sample_index")


class Caps(NamedTuple):
    """A stage's own budget, beside the run's. Where either is used up, the rows left over fail as "budget"."""

    usd: float | None
    tokens: int | None


def ask(
    stage: str,
    asks: pa.Table,
    settings: Settings,
    endpoint: Endpoint,
    store: Store,
    progress: Progress,
    caps: Caps | None = None,
) -> pa.Table:
    """Ask the teacher every row of `asks`; `stage` is zero_shot or few_shot (raydistill.asks.ASKS) or judge
    (raydistill.judging.JUDGE_ASKS).

    Returns:
        tables.SAMPLES sorted by task, method, degree, question_id, sample_index: `degree` rows for each row asked,
        failed ones included (`error_kind`, `error`). The stage's ledger is written to the store (`ledger.load`), and
        its failed rows as failed_<stage>, for a look where the stage fails.

    Raises:
        BudgetReached: the next call could exceed `max_usd` or `max_tokens`; not with `caps`.
        TooManyFailures: a larger share than `max_failure_rate` of the rows failed; a re-run asks just those again.
        TeacherError: the endpoint refuses everything (key, model, account).
        JournalError: the journal is of another format or its storage is full.
        KeyboardInterrupt: after the calls in flight came home (at most `timeout_s`, 60 s).
    """
    settings = settings.absolute()
    teacher = settings.teacher
    folder = journal_folder(settings)
    compaction.compact(folder)
    session = uuid.uuid4().hex
    with progress.stage(stage, asks.num_rows) as shown:
        table = None
        while table is None:
            limits = _limits(teacher, folder, settings.run_path, stage, caps)
            try:
                if teacher.transport == "batch":
                    provenance = Provenance(settings.run_path, session, stage)
                    rows = batch.run(asks, teacher, endpoint, folder, provenance, limits, shown)
                    table = pa.Table.from_pylist(rows, schema=_OUT)
                else:
                    table = _ask_online(stage, asks, settings, endpoint, limits, session, shown)
            except _Refused as refused:  # what was not asked without the parameter is asked so now
                learn_refusals(endpoint, refused.args[0], teacher)
        table = table.sort_by([(name, "ascending") for name in _ORDER])
        samples = table.select(SAMPLES.names)
        book = ledgers.ledger(stage, samples, table["ledger"].to_pylist())
        store.write(f"ledger_{stage}", book, session)
        store.write(f"failed_{stage}", samples.filter(pc.not_equal(samples["error_kind"], "")), session)
        _compact(folder)
        _check_failures(stage, samples, asks.num_rows, teacher)
        shown.finish(_sentence(book, samples, endpoint.refuses))
    return samples.replace_schema_metadata(None)


class _Refused(Exception):
    """The model refuses a parameter: its name as `Endpoint.refuses` has it."""


def _ask_online(
    stage: str, asks: pa.Table, settings: Settings, endpoint: Endpoint, limits: Limits, session: str, shown: Stage
) -> pa.Table:
    """Run the blocks in a thread, so that this one can show progress and take a Ctrl-C."""
    from ray.exceptions import RayActorError

    governor = _start_governor(limits)
    # a Future, not Thread.join: that, interrupted, takes the thread for finished (bpo-45274 in Python 3.11)
    work: Future[pa.Table] = Future()
    threading.Thread(
        target=_run_blocks, args=(stage, asks, settings, endpoint, governor, session, work), daemon=True
    ).start()
    try:
        while not work.done():
            wait([work], POLL_S)
            _show(shown, governor)
        told = _show(shown, governor)
    except KeyboardInterrupt:
        _drain(work, governor, shown, settings.teacher)
        raise
    except RayActorError:
        wait([work], DRAIN_S)  # without a governor the actors send nothing more
        raise UserError(
            "The governor (the Ray actor that keeps the limits) has died; the answers so far are kept.",
            "Give the same command again: it goes on.",
        ) from None
    found = work.result()
    if told["stop"] and not (limits.lenient and told["stop"][0] == "budget"):
        why, message = told["stop"]
        if why == "refused":
            raise _Refused(message)
        _raise_stop(why, message, told)
    return found


def _compact(folder: journal.Folder) -> None:
    """Compact once the actors have let go of their segments; what they still hold is compacted by the next stage."""
    deadline = time.monotonic() + RELEASE_S
    compaction.compact(folder)
    while any(name.startswith("segment-") for name in folder.names()) and time.monotonic() < deadline:
        time.sleep(0.1)
        compaction.compact(folder)


def journal_folder(settings: Settings) -> journal.Folder:
    """The run's journal, or the shared one that `teacher.journal` names."""
    return journal.Folder(journal_path(settings.run_dir, settings.teacher.journal))


class Asker:
    """The Ray Data actor: makes its parts at its first block, inside the event loop that uses them."""

    def __init__(
        self, stage: str, settings: Settings, endpoint: Endpoint, governor: ActorHandle, session: str, journal_id: str
    ) -> None:
        self.stage, self.settings, self.endpoint, self.session = stage, settings, endpoint, session
        self.journal_id = journal_id
        self.governor = governor
        self.folder = journal_folder(settings)
        self.reader = journal.Reader(self.folder)  # on a restart: with all that the dead actor has paid for
        self.caller: Caller | None = None

    async def __call__(self, block: pa.Table) -> pa.Table:
        if self.caller is None:
            self.caller = self._make()
            if self.folder.id != self.journal_id:
                text = (
                    f"The journal {self.folder.path} on node {platform.node()} is not the one that the driver opened."
                )
                hint = "Give a run directory (or --teacher.journal) that all nodes share: NFS, or a URI such as s3://…"
                self.caller.permits.give_up("journal", f"{text}\n  {hint}")
        if block.num_rows == 0:  # a stage without questions
            return _OUT.empty_table()
        if await self.governor.begin.remote(block["block"][0].as_py(), self.caller.permits.actor):
            self.reader.refresh()  # an actor that died had begun this block
        rows = [asyncio.ensure_future(self._one(row)) for row in block.to_pylist()]
        found = [sample for row in rows for sample in await row]
        await self.caller.permits.flush()
        return pa.Table.from_pylist(found, schema=_OUT)

    def _make(self) -> Caller:
        teacher = self.settings.teacher
        self.window = asyncio.Semaphore(max(64, (2 if self.folder.is_local else 8) * teacher.max_concurrency))
        governor = self.governor
        permits = Permits(uuid.uuid4().hex, lambda report: governor.exchange.remote(report))
        return Caller(
            self.endpoint.client(teacher.dialect, teacher.timeout),
            permits,
            self.reader,
            journal.Writer(self.folder),
            teacher,
            pricing.find(teacher),
            Provenance(self.settings.run_path, self.session, self.stage),
        )

    async def _one(self, ask: dict[str, Any]) -> list[dict[str, Any]]:
        assert self.caller is not None
        async with self.window:
            found = await dialogue(ask, self.stage, self.endpoint, self.settings.teacher, self.caller)
        failed = any(row["error_kind"] for row, _ in found)
        self.caller.permits.count(rows=1, failed=failed)
        return [row | {"ledger": ledgers.facts(used, self.session)} for row, used in found]


def _run_blocks(
    stage: str,
    asks: pa.Table,
    settings: Settings,
    endpoint: Endpoint,
    governor: ActorHandle,
    session: str,
    work: Future[pa.Table],
) -> None:
    import ray.data

    try:
        blocks = _blocks(asks, settings.teacher.num_actors)
        found = ray.data.from_arrow(blocks).map_batches(
            Asker,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=0.1,
            compute=ray.data.ActorPoolStrategy(
                size=min(settings.teacher.num_actors, len(blocks)),
                max_concurrent_calls_per_actor=BLOCKS_AT_ONCE,
                max_tasks_in_flight_per_actor=BLOCKS_AT_ONCE,
            ),
            fn_constructor_kwargs={
                "stage": stage,
                "settings": settings,
                "endpoint": endpoint,
                "governor": governor,
                "session": session,
                "journal_id": journal_folder(settings).id,
            },
            **_placement(endpoint),
        )
        batches = found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        work.set_result(pa.concat_tables([_OUT.empty_table(), *batches]))
    except BaseException as error:  # handed to the thread that shows progress
        work.set_exception(error)


def _placement(endpoint: Endpoint) -> dict[str, Any]:
    """Actors of a teacher that listens on this node alone (simulated, local, loopback) stay on this node."""
    import ray

    if urlsplit(endpoint.base_url).hostname not in ("localhost", "127.0.0.1", "::1"):
        return {}
    return {"label_selector": {"ray.io/node-id": ray.get_runtime_context().get_node_id()}}


def _blocks(asks: pa.Table, actors: int) -> list[pa.Table]:
    """`asks` in tables of at most about BLOCK_ROWS rows, all rows of one question text in the same one."""
    size = max(1, min(BLOCK_ROWS, -(-asks.num_rows // (actors * BLOCKS_AT_ONCE))))
    first: dict[str, int] = {}
    for question in asks["question"].to_pylist():
        first.setdefault(question, len(first))
    place = [first[question] for question in asks["question"].to_pylist()]
    order = sorted(range(len(place)), key=place.__getitem__)
    ends = [i for i in range(1, len(order)) if place[order[i]] != place[order[i - 1]]] + [len(order)]
    blocks: list[pa.Table] = []
    start = 0
    for end in ends:
        if end - start >= size or end == len(order):
            rows = asks.take(pa.array(order[start:end], pa.int64()))
            blocks.append(rows.append_column("block", pa.array([len(blocks)] * rows.num_rows, pa.int64())))
            start = end
    return blocks


def _limits(teacher: TeacherSettings, folder: journal.Folder, run: str, stage: str, caps: Caps | None) -> Limits:
    """The stage's limits; what this run has bought before counts towards its budget, and towards the stage's own."""
    usd, tokens = _left(Caps(teacher.budget_usd, teacher.budget_tokens), folder, run)
    if caps:
        own = _left(caps, folder, run, stage)
        usd = min((u for u in (usd, own.usd) if u is not None), default=None)
        tokens = min((t for t in (tokens, own.tokens) if t is not None), default=None)
    return Limits(
        in_flight=teacher.max_concurrency,
        floor=min(teacher.min_concurrency, teacher.max_concurrency),
        requests_per_minute=teacher.requests_per_minute,
        tokens_per_minute=teacher.tokens_per_minute,
        usd=usd,
        tokens=tokens,
        lenient=caps is not None,
    )


def _left(caps: Caps, folder: journal.Folder, run: str, stage: str = "") -> Caps:
    usd, tokens = (0.0, 0) if caps == (None, None) else compaction.spent(folder, run, stage)
    return Caps(None if caps.usd is None else caps.usd - usd, None if caps.tokens is None else caps.tokens - tokens)


def _start_governor(limits: Limits) -> ActorHandle:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(Governor)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote(limits)


def _show(shown: Stage, governor: ActorHandle) -> dict[str, Any]:
    import ray

    snapshot: Any = governor.snapshot.remote()
    told: dict[str, Any] = ray.get(snapshot)
    elapsed = max(0.5, time.monotonic() - shown.started)
    paused = told["paused_s"]
    shown.update(
        int(told.get("rows", 0)),
        calls=int(told.get("calls", 0)),
        per_s=told.get("calls", 0) / elapsed,
        tokens=int(told["spent_tokens"]),
        usd=told["spent_usd"] or None,
        failed=int(told.get("failed", 0)) or None,
        waiting=f"{paused:.0f} s (rate limit)" if paused >= 1 else None,
    )
    return told


def _drain(work: Future[pa.Table], governor: ActorHandle, shown: Stage, teacher: TeacherSettings) -> None:
    """Send no more, and let the calls in flight come home; a second Ctrl-C does not wait."""
    import ray

    ray.get(governor.drain.remote("interrupt", "stopped by Ctrl-C"))
    wait([work], min(teacher.timeout, DRAIN_S))
    told = _show(shown, governor)
    shown.finish(f"stopped: {int(told.get('calls', 0)):,} answers of this command are kept")


def _raise_stop(why: str, message: str, told: dict[str, Any]) -> NoReturn:
    kept = f"{int(told.get('calls', 0)):,} answers of this command are kept"
    if why == "budget":
        raise budget_reached(message, kept)
    if why == "journal":
        text, _, hint = message.partition("\n  ")
        raise journal.JournalError(text, hint)
    if why == "fatal":
        raise TeacherError(f"The teacher refuses: {message}; {kept}.", "Mend it and give the same command again.")
    raise UserError(f"The stage stopped: {message}; {kept}.", "Give the same command again: it goes on.")


def _check_failures(stage: str, samples: pa.Table, asked: int, teacher: TeacherSettings) -> None:
    failed: dict[tuple[Any, ...], tuple[str, str]] = {}
    for row in samples.select([*_ORDER, "error_kind", "error"]).to_pylist():
        if row["error_kind"] not in ("", "budget"):
            one = row["sample_index"] if stage == "llm_judge" else 0  # else all samples of a question are one ask
            failed[row["question_id"], row["method"], row["degree"], one] = row["error_kind"], row["error"]
    if len(failed) <= teacher.max_failure_rate * asked:
        return
    kinds: dict[str, list[str]] = {}
    for kind, error in failed.values():
        kinds.setdefault(kind, []).append(error)
    lines = "; ".join(f"{len(errors)} {kind} (e.g. {errors[0][:160]})" for kind, errors in sorted(kinds.items()))
    raise TooManyFailures(
        f"{len(failed)} of {asked} questions failed in stage {stage}: {lines}.",
        f"Give the same command again: it asks just those. --teacher.max_failure_rate {teacher.max_failure_rate} is what may fail.",
    )


def _sentence(book: pa.Table, samples: pa.Table, refused: set[str]) -> str:
    sums = {name: sum(v or 0 for v in book[name].to_pylist()) for name in ("calls", "reused", "attempts", "usd")}
    tokens = sum(sum(book[name].to_pylist()) for name in ("prompt_tokens", "completion_tokens"))
    second = sum(by == "second_call" for by in samples["answered_by"].to_pylist())
    kinds = samples["error_kind"].to_pylist()
    unasked = kinds.count("budget")
    failed = len(kinds) - kinds.count("") - unasked
    parts = [f"{samples.num_rows:,} samples", f"{sums['calls']:,} calls", f"{tokens:,} tokens"]
    parts += [f"{sums['reused']:,} calls from the journal"] if sums["reused"] else []
    parts += [f"${sums['usd']:.4f}"] if sums["usd"] else []
    parts += [f"{second:,} second calls"] if second else []
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"the model refuses {', '.join(sorted(refused))}"] if refused else []
    parts += [f"{unasked:,} not asked: the budget is used up"] if unasked else []
    return " · ".join(parts)

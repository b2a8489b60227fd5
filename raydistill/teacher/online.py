"""The online transport of a teacher stage: concurrent calls from a pool of Ray Data actors."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from raydistill.config import Settings
from raydistill.runtime import stopping
from raydistill.runtime.errors import UserError
from raydistill.runtime.formatting import duration
from raydistill.runtime.progress import Stage as ProgressLine
from raydistill.teacher import blocks
from raydistill.teacher.actor import TeacherActor
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.ledger import SAMPLES_WITH_CALLS
from raydistill.teacher.limits.governor import Governor
from raydistill.teacher.limits.messages import Limits, Snapshot, StopReason
from raydistill.teacher.summary import kept

if TYPE_CHECKING:
    from ray.actor import ActorHandle

POLL_S = 0.3
WAY_HOME_S = 10.0  # from a call's end to its row's: the journal's write, on remote storage, and the news of a stop
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Job(NamedTuple):
    """What is asked, of whom, and who buys."""

    prompts: pa.Table
    settings: Settings
    endpoint: Endpoint
    buyer: Buyer
    journal_id: str


def run(job: Job, limits: Limits, line: ProgressLine) -> tuple[pa.Table, Snapshot]:
    """Ask the teacher every row of `job.prompts`.

    The blocks run in a thread, so that this one can show progress and take a Ctrl-C or SIGTERM.

    Returns:
        SAMPLES_WITH_CALLS in any order, and the governor's last snapshot: its `stop` says whether rows are missing
        answers because the stage was stopped.

    Raises:
        UserError: the governor died.
        KeyboardInterrupt: after the calls in flight came home, which takes at most `teacher.timeout`. A second signal
            does not wait for them (`stopping.LeftInFlight`).
    """
    from ray.exceptions import RayActorError

    governor = _start_governor(limits)
    # a Future, not Thread.join: that, interrupted, takes the thread for finished (bpo-45274 in Python 3.11)
    work: Future[pa.Table] = Future()
    threading.Thread(target=_work, args=(job, governor, work), daemon=True).start()
    longest_s = job.settings.teacher.timeout + WAY_HOME_S
    try:
        with stopping.on_sigterm():
            try:
                while not work.done():
                    wait([work], POLL_S)
                    _show(line, governor)
                snapshot = _show(line, governor)
            except KeyboardInterrupt as interrupt:
                _drain(work, governor, line, longest_s, interrupt)
                raise
    except RayActorError:
        wait([work], longest_s)  # without a governor the actors send nothing more
        raise UserError(
            "The rate limiter actor died; the answers so far are kept.",
            "Run the same command again: it goes on.",
        ) from None
    return work.result(), snapshot


def _work(job: Job, governor: ActorHandle, work: Future[pa.Table]) -> None:
    try:
        work.set_result(_run_blocks(job, governor))
    except BaseException as error:  # handed to the thread that shows progress
        work.set_exception(error)


def _run_blocks(job: Job, governor: ActorHandle) -> pa.Table:
    import ray.data

    num_actors = job.settings.teacher.num_actors
    parts = blocks.cut(job.prompts, num_actors)
    if job.settings.teacher.journal is not None:
        parts = blocks.in_own_order(parts, job.buyer.run)
    samples = ray.data.from_arrow(parts).map_batches(
        TeacherActor,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0.1,
        compute=ray.data.ActorPoolStrategy(
            size=min(num_actors, len(parts)),
            max_concurrent_calls_per_actor=blocks.BLOCKS_PER_ACTOR,
            max_tasks_in_flight_per_actor=blocks.BLOCKS_PER_ACTOR,
        ),
        fn_constructor_kwargs={
            "settings": job.settings,
            "endpoint": job.endpoint,
            "governor": governor,
            "buyer": job.buyer,
            "journal_id": job.journal_id,
        },
        **_placement(job.endpoint),
    )
    tables = samples.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    return pa.concat_tables([SAMPLES_WITH_CALLS.empty_table(), *tables])


def _placement(endpoint: Endpoint) -> dict[str, Any]:
    """Keep the actors on this node if the teacher listens on it alone (simulated, local, loopback)."""
    import ray

    if urlsplit(endpoint.base_url).hostname not in LOOPBACK:
        return {}
    return {"label_selector": {"ray.io/node-id": ray.get_runtime_context().get_node_id()}}


def _start_governor(limits: Limits) -> ActorHandle:
    """Start the governor on the driver's node, if there is room."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node_id = ray.get_runtime_context().get_node_id()
    actor: Any = ray.remote(Governor)
    strategy = NodeAffinitySchedulingStrategy(node_id, soft=True)
    return actor.options(num_cpus=0, scheduling_strategy=strategy).remote(limits)


def _show(line: ProgressLine, governor: ActorHandle) -> Snapshot:
    """Bring the progress line up to date."""
    import ray

    future: Any = governor.snapshot.remote()
    snapshot: Snapshot = ray.get(future)
    calls = snapshot.count("calls")
    elapsed_s = max(0.5, time.monotonic() - line.started)
    is_paused = snapshot.paused_s >= 1
    line.update(
        snapshot.count("rows"),
        calls=calls,
        per_s=calls / elapsed_s,
        tokens=snapshot.spent.tokens,
        usd=snapshot.spent.usd or None,
        failed=snapshot.count("failed") or None,
        waiting=f"{snapshot.paused_s:.0f} s (rate limit)" if is_paused else None,
    )
    return snapshot


def _drain(
    work: Future[pa.Table], governor: ActorHandle, line: ProgressLine, longest_s: float, first: KeyboardInterrupt
) -> None:
    """Send no more, and let the calls in flight come home; a second signal does not wait.

    Args:
        work: the stage's work, which ends when they are home.
        governor: the stage's.
        line: its progress line.
        longest_s: how long a call can be on its way.
        first: the signal that ended the stage.

    Raises:
        LeftInFlight: some did not come home.
    """
    import ray

    in_flight = 0
    last = first
    try:
        drained: Any = governor.drain.remote(StopReason("interrupt", "stopped by a signal"))
        ray.get(drained)
        wait([work], POLL_S)  # until the actors have reported what is in flight
        in_flight = _show(line, governor).in_flight
        line.progress.say(
            f"Stopping: no more calls are sent; {in_flight:,} in flight are waited for, at most {duration(longest_s)}. "
            "Ctrl-C (or SIGTERM) again leaves at once and loses their replies."
        )
        deadline = time.monotonic() + longest_s
        while not work.done() and time.monotonic() < deadline:
            wait([work], POLL_S)
            in_flight = _show(line, governor).in_flight
    except KeyboardInterrupt as second:
        last = second
    answers = kept(int(line.facts.get("calls") or 0))
    if work.done():
        line.finish(f"stopped: {answers}")
    else:
        line.finish(f"stopped, and {in_flight:,} calls in flight left: {answers}")
        raise stopping.LeftInFlight(in_flight, last)

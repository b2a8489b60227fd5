"""The end of a teacher stage in words: the sentence that stays, too many failures, why it stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from raydistill.runtime.errors import TeacherError, TooManyFailures, UserError, budget_reached
from raydistill.runtime.formatting import dollars
from raydistill.tables import rows
from raydistill.teacher.journal import JournalError
from raydistill.teacher.limits.messages import Snapshot, StopReason
from raydistill.teacher.samples import NOT_ASKED

BUDGET = "budget"  # the error_kind of rows that were not asked because a budget is used up
_SHOWN_CHARS = 160  # of an error


def kept(answers: int) -> str:
    """Return what an interrupted command leaves, as a clause."""
    return f"{answers:,} answers of this command are kept"


def unknown(snapshot: Snapshot) -> str:
    """Return what calls count as whose outcome is unknown, as a clause; "" if there are none."""
    lost = snapshot.count("lost")
    if not lost:
        return ""
    usd = dollars(snapshot.counts.get("lost_usd", 0.0))
    return f"{lost:,} calls without a reply count as {usd}, as they may have been paid for"


def stop_error(stop: StopReason, snapshot: Snapshot) -> UserError:
    """Return the error that ends a run whose stage was stopped."""
    answers = kept(snapshot.count("calls"))
    lost = unknown(snapshot)
    if lost:
        answers = f"{answers}; {lost}"
    message = f"{stop.message}; {answers}"
    if stop.limit is not None:
        return budget_reached(stop.limit, stop.message, answers)
    if stop.kind == "journal":
        return JournalError(f"{stop.message} {answers[0].upper()}{answers[1:]}.", stop.hint)
    if stop.kind == "fatal":
        return TeacherError(f"The teacher rejected a call: {message}.", "Fix it and run the same command again.")
    if stop.kind == "hopeless":
        return TeacherError(
            f"The teacher does not answer: {message}.",
            "Is it running, is --teacher.timeout long enough, is the account's quota used up? Then run the same "
            "command again: it goes on.",
        )
    return UserError(f"The stage stopped: {message}.", "Run the same command again: it goes on.")


def check_failures(stage: str, samples: pa.Table, prompts: int, max_rate: float, *, by_sample: bool = False) -> None:
    """Check that not too many prompts failed.

    Args:
        stage: the stage's name.
        samples: its SAMPLES.
        prompts: how many prompts there were.
        max_rate: the fraction of them that may fail.
        by_sample: each row is a prompt of its own (the LLM judge's); else all samples of a question, method and
            degree are one.

    Raises:
        TooManyFailures: more than `max_rate` failed. Rows that were not asked are no failures.
    """
    failed: dict[tuple[str, str, int, int], tuple[str, str]] = {}
    for row in rows(samples.filter(pc.not_equal(samples["error_kind"], ""))):
        if row["error_kind"] not in NOT_ASKED:
            index = row["sample_index"] if by_sample else 0
            failed[row["question_id"], row["method"], row["degree"], index] = row["error_kind"], row["error"]
    if len(failed) <= max_rate * prompts:
        return
    errors_by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, error in failed.values():
        errors_by_kind[kind].append(error)
    parts = []
    for kind, errors in sorted(errors_by_kind.items()):
        parts.append(f"{len(errors)} {kind} (e.g. {errors[0][:_SHOWN_CHARS]})")
    stopped = _count(samples, "error_kind", "stopped")
    if stopped:
        parts.append(f"{stopped:,} samples were not asked any more")
    raise TooManyFailures(
        f"{len(failed)} of {prompts} questions failed in stage {stage}: {'; '.join(parts)}.",
        f"Run the same command again: it asks just those. --teacher.max_failure_rate {max_rate} is what may fail.",
    )


def sentence(ledger: pa.Table, samples: pa.Table, rejected: Iterable[str]) -> str:
    """Return what a finished stage did.

    Args:
        ledger: its LEDGER.
        samples: its SAMPLES.
        rejected: parameters that the model does not take.
    """
    tokens = _sum(ledger, "prompt_tokens") + _sum(ledger, "completion_tokens")
    answer_calls = _count(samples, "answered_by", "answer_call")
    unasked = _count(samples, "error_kind", BUDGET)
    unreadable = _count(samples, "error_kind", "unreadable")
    failed = samples.num_rows - _count(samples, "error_kind", "") - unasked
    reused = _sum(ledger, "reused")
    usd = _sum(ledger, "usd")
    names = ", ".join(sorted(rejected))
    parts = [f"{samples.num_rows:,} samples", f"{_sum(ledger, 'calls'):,} calls", f"{tokens:,} tokens"]
    optional = [
        (reused, f"{reused:,} calls from the journal"),
        (usd, dollars(usd)),
        (answer_calls, f"{answer_calls:,} answer calls"),
        (failed, f"{failed:,} failed"),
        (unreadable, f"{unreadable:,} of them replies that cannot be read, which are kept"),
        (names, f"the model rejects {names}"),
        (unasked, f"{unasked:,} not asked: the budget is used up"),
    ]
    parts += [text for figure, text in optional if figure]
    return " · ".join(parts)


def _sum(table: pa.Table, column: str) -> float:
    return pc.sum(table[column]).as_py() or 0


def _count(table: pa.Table, column: str, value: str) -> int:
    return pc.sum(pc.equal(table[column], value)).as_py() or 0

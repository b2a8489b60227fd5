"""What a stage may still spend: its budget and the run's, less what the journal says was spent before."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

from raydistill.config import TeacherSettings
from raydistill.teacher.journal import Folder
from raydistill.teacher.limits import pricing
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.limits.messages import Limits
from raydistill.teacher.spending import Spending, spending


def stage_limits(
    teacher: TeacherSettings,
    folder: Folder,
    runs: Collection[str],
    stage: str,
    own_budget: Budget | None = None,
    prompts: int | None = None,
) -> Limits:
    """Return the limits of a stage that starts now.

    Args:
        teacher: the teacher's settings, with the run's budget.
        folder: the journal: what the run has spent before counts, in this command and in earlier ones.
        runs: the run's id, and names that it had in earlier versions.
        stage: the stage.
        own_budget: the stage's own budget beside the run's. If either is used up, the rows that are left fail
            as "budget"; without an own budget the stage stops.
        prompts: rows that the stage asks, of which `max_failure_rate` may fail; None to let it go on in any case.
    """
    left = _left(Budget(teacher.budget_usd, teacher.budget_tokens), teacher, folder, runs)
    if own_budget is not None:
        left = left.within(_left(own_budget, teacher, folder, runs, stage))
    return Limits(
        max_concurrency=teacher.max_concurrency,
        min_concurrency=min(teacher.min_concurrency, teacher.max_concurrency),
        requests_per_minute=teacher.requests_per_minute,
        tokens_per_minute=teacher.tokens_per_minute,
        usd=left.usd,
        tokens=left.tokens,
        on_budget="stop_stage" if own_budget is None else "fail_rows",
        max_failed=None if prompts is None else math.floor(teacher.max_failure_rate * prompts),
    )


def spent(teacher: TeacherSettings, folder: Folder, runs: Collection[str], stage: str = "") -> Spending:
    """Return what the run has spent; what was bought without a known price counts at today's."""
    prices = pricing.find(teacher)
    return spending(folder, runs, stage, None if prices is None else prices.at(time.time()))


def _left(budget: Budget, teacher: TeacherSettings, folder: Folder, runs: Collection[str], stage: str = "") -> Budget:
    if not budget.is_limited:
        return budget  # the journal need not be read
    return budget.less(spent(teacher, folder, runs, stage).total)

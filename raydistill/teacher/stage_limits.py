"""What a stage may still spend: its budget and the run's, less what the journal says was bought before."""

from __future__ import annotations

from raydistill.config import TeacherSettings
from raydistill.teacher.journal import Folder
from raydistill.teacher.journal.scan import spent
from raydistill.teacher.limits.budget import Budget
from raydistill.teacher.limits.messages import Limits


def stage_limits(
    teacher: TeacherSettings, folder: Folder, run: str, stage: str, own_budget: Budget | None = None
) -> Limits:
    """Return the limits of a stage that starts now.

    Args:
        teacher: the teacher's settings, with the run's budget.
        folder: the journal: what `run` has bought before counts, in this command and in earlier ones.
        run: the run directory.
        stage: the stage.
        own_budget: the stage's own budget beside the run's. If either is used up, the rows that are left fail
            as "budget"; without an own budget the stage stops.
    """
    left = _left(Budget(teacher.budget_usd, teacher.budget_tokens), folder, run)
    if own_budget is not None:
        left = left.within(_left(own_budget, folder, run, stage))
    return Limits(
        max_concurrency=teacher.max_concurrency,
        min_concurrency=min(teacher.min_concurrency, teacher.max_concurrency),
        requests_per_minute=teacher.requests_per_minute,
        tokens_per_minute=teacher.tokens_per_minute,
        usd=left.usd,
        tokens=left.tokens,
        on_budget="stop_stage" if own_budget is None else "fail_rows",
    )


def _left(budget: Budget, folder: Folder, run: str, stage: str = "") -> Budget:
    if not budget.is_limited:
        return budget  # the journal need not be read
    return budget.less(spent(folder, run, stage))

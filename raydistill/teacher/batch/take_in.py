"""What an online stage does about batches of its own that are still out: their answers are paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from raydistill.config import TeacherSettings
from raydistill.runtime.errors import TeacherError
from raydistill.teacher import journal
from raydistill.teacher.batch.batch_api import OVER
from raydistill.teacher.batch.pending_batches import Notes
from raydistill.teacher.batch.session import Session
from raydistill.teacher.endpoint import Endpoint
from raydistill.teacher.journal.records import Buyer
from raydistill.teacher.limits.messages import Limits


def take_in(
    settings: TeacherSettings,
    endpoint: Endpoint,
    folder: journal.Folder,
    buyer: Buyer,
    run_names: Collection[str] = (),
) -> None:
    """Take the results of the stage's batches into the journal.

    Raises:
        TeacherError: a batch is not over: asking online now would buy its answers twice.
    """
    if Notes(folder, buyer, run_names).load():
        asyncio.run(_take_in(settings, endpoint, folder, buyer, run_names))


async def _take_in(
    settings: TeacherSettings,
    endpoint: Endpoint,
    folder: journal.Folder,
    buyer: Buyer,
    run_names: Collection[str],
) -> None:
    async with Session(settings, endpoint, folder, buyer, Limits(1), run_names) as session:
        for note in await session.running():
            assert note.batch is not None
            batch = await session.api.retrieve(note.batch)
            if batch.status not in OVER:
                raise TeacherError(
                    f"The batch {batch.id} of stage {buyer.stage} is still out ({batch.status}): "
                    "to ask online now would buy its answers twice.",
                    "Wait for it with --teacher.transport batch, or cancel it at the endpoint and run this command "
                    "again: what it has answered by then is taken in.",
                )
            await session.take(note, batch, {})

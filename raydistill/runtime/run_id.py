"""A run's own id, by which the journal knows what it has bought: a renamed directory keeps its budget.

    <run>/run.json   {"id": ..., "paths": [...]}, written at the run's first use

Versions before 0.2 knew a run by its path: what is labelled with one of `paths` is the run's, too.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

from raydistill.runtime.errors import UserError
from raydistill.runtime.store import Store

FILE = "run.json"


class RunId(NamedTuple):
    """What stands for a run."""

    id: str
    names: frozenset[str]
    """The id, and paths under which earlier versions knew the run."""


def load(store: Store) -> RunId:
    """Return the id of the run in `store`; the first use makes one.

    Raises:
        UserError: run.json is damaged, or cannot be written.
    """
    text = store.read_text(FILE)
    if text is None:
        fields: dict[str, Any] = {"id": uuid.uuid4().hex, "paths": [store.path]}
        store.write_text(FILE, json.dumps(fields))
    else:
        fields = _read(text, store)
    return RunId(fields["id"], frozenset([fields["id"], *fields["paths"]]))


def _read(text: str, store: Store) -> dict[str, Any]:
    try:
        fields = json.loads(text)
        if isinstance(fields["id"], str) and isinstance(fields["paths"], list):
            return fields
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(
        f"{FILE} in the run directory {store.path} is damaged: {text[:80]!r}",
        "Delete it: the run gets a new id, and what it has bought so far counts towards its budget no more.",
    )

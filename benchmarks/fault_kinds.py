"""All misbehaviours of the fault server, by name."""

from __future__ import annotations

import fault_refusals
import fault_replies
from fault_kind import Kind

KINDS: dict[str, Kind] = {**fault_refusals.REFUSALS, **fault_replies.REPLIES}

"""The bill holds under attack: a part of benchmarks/engine_faults.py, against its fault server over real HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import fault_cases
import fault_server
import pytest
from fault_cell import Cell, run_cell
from fault_kinds import KINDS
from fault_server import FaultServer

SEVERE = [  # where the engine of 0.1 spent a multiple of its cap, bought twice, lost answers or showed its key
    "content_parts",
    "event_stream",
    "slow",
    "reset_mid_body",
    "length_too_long",
    "truncated_json",
    "choices_empty",
    "choices_fewer",
    "content_null",
    "chinese_prompts",
    "usage_missing",
    "usage_other_names",
    "usage_no_completion",
    "usage_underflow",
    "usage_negative",
    "ignores_n",
    "ignores_max_tokens",
    "error_object_200",
    "key_echo_200_late",
    "key_echo_401_part",
    "policy_stop",
    "redirect",
]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with fault_server.serve() as server:
        yield server


@pytest.mark.parametrize("kind", SEVERE)
def test_the_bill_holds(server: FaultServer, kind: str) -> None:
    """With calls that all misbehave: within the cap, nothing bought twice or lost, and the key nowhere."""
    result = asyncio.run(run_cell(Cell(KINDS[kind], 1.0, 8), server, f"sk-faults-{secrets.token_urlsafe(108)}"))
    assert result.bill_over_cap <= 1.0
    assert (result.bought_twice, result.lost, result.mixed_up) == (0, 0, 0)
    assert not result.is_key_shown
    assert not result.is_cut_off


def test_one_short_answer_in_500_costs_one_more_call(server: FaultServer) -> None:
    assert fault_cases.short_answers(server, "sk-faults") <= 1.02

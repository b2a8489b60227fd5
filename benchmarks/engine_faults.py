"""Does the bill hold under attack? Every misbehaviour of a teacher, at 5 % and at 100 % of the calls.

python benchmarks/engine_faults.py [--kinds hang slow] [--share 0.05 1] [--no-cases]

A fault server (`fault_server`, in a process of its own) counts what it would bill, also for what gets lost on its way;
raydistill's teacher path asks it, with a cap that bites, then once more on the same journal, then with twice the cap:

    bill/cap      of the server's count, with 8 and with 1 samples a call: at most 1
    bought twice  samples billed though as many as were needed had arrived whole: 0
    lost          samples that arrived whole and readable, and are in no journal: 0
    key           twelve characters of the API key in a row stand in a file or a message: nowhere
    ends after    seconds until a run in which no call succeeds says so, with 2,000 prompts and default retries

Then kills in a row, two runs at once, changed prices, and a short answer in 500 (`fault_cases`). The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import fault_cases
import fault_server
from fault_cell import Cell, Result, run_cell
from fault_kinds import KINDS
from fault_server import FaultServer

SHARES = [0.05, 1.0]
SAMPLES = [8, 1]
SERVERS = 16
BUSY_SERVERS = 4
"""More would wait for the processor, and calls would time out that should not."""
SAYS_CHARS = 70


class Case(NamedTuple):
    """A special case."""

    figure: str
    """Name of its figure in the last line."""
    about: str
    at_most: float
    run: Callable[[FaultServer, str], float]


CASES = [
    Case("kills_bill_over_cap", "six kills in a row: bill/cap", 1.02, fault_cases.kills),
    Case("two_runs_calls", "two runs at once, one journal: calls/prompts", 1.05, fault_cases.two_runs),
    Case("late_run_calls", "two runs, the second 2 s later: calls/prompts", 1.05, fault_cases.late_run),
    Case("late_price_bill_over_cap", "a price given later: bill/cap", 1.0, fault_cases.price_given_later),
    Case("raised_price_bill_over_cap", "a price raised tenfold: bill/cap", 1.0, fault_cases.price_raised),
    Case("short_answers_bill_over_ideal", "a short answer in 500: bill/ideal", 1.02, fault_cases.short_answers),
]


def main() -> None:
    """Run the table and the special cases as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help="some alone")
    parser.add_argument("--share", nargs="+", type=float, default=SHARES, help="fractions of the calls that meet it")
    parser.add_argument("--no-cases", action="store_true", help="without the special cases")
    args = parser.parse_args()
    key = f"sk-faults-{secrets.token_urlsafe(108)}"
    started = time.monotonic()
    with ExitStack() as stack:
        servers = [stack.enter_context(fault_server.serve()) for _ in range(SERVERS)]
        cells = [Cell(KINDS[kind], share, n) for kind in args.kinds for share in args.share for n in SAMPLES]
        results = asyncio.run(run_cells(cells, servers[:BUSY_SERVERS], key))
        patience = asyncio.run(run_cells(hopeless(results), servers, key))
        print_table(results, patience)
        cases = {} if args.no_cases else run_cases(servers[0], key)
    print(f"{time.monotonic() - started:.0f} s")
    print(json.dumps(summary(results, patience, cases)))


async def run_cells(cells: list[Cell], servers: list[FaultServer], key: str) -> list[Result]:
    """Run cells, as many at a time as there are servers; the results are in their order."""
    free: asyncio.Queue[FaultServer] = asyncio.Queue()
    for server in servers:
        free.put_nowait(server)

    async def one(cell: Cell) -> Result:
        server = await free.get()
        try:
            result = await run_cell(cell, server, key)
        finally:
            free.put_nowait(server)
        print(f"{cell.kind.name} {cell.share:g} n={cell.n}: {result.seconds:.1f} s", file=sys.stderr, flush=True)
        return result

    return await asyncio.gather(*map(one, cells))


def hopeless(results: list[Result]) -> list[Cell]:
    """Return the cells whose time counts: those of every misbehaviour that let nothing be answered, or that hung."""
    cells: list[Cell] = []
    for result in results:
        is_hopeless = result.cell.share >= 1 and result.answered == 0
        cell = result.cell._replace(n=1, is_patient=True)
        if (is_hopeless or result.is_cut_off) and cell not in cells:
            cells.append(cell)
    return cells


def print_table(results: list[Result], patience: list[Result]) -> None:
    """Print a line for each misbehaviour and share."""
    print(
        f"{'misbehaviour':22} {'share':>5} {'bill/cap n=8':>12} {'n=1':>6} {'twice':>6} {'lost':>6} {'key':>4} "
        f"{'ends after':>10}  says"
    )
    by_cell = {(result.cell.kind.name, result.cell.share): result for result in patience}
    for index in range(0, len(results), len(SAMPLES)):
        group = results[index : index + len(SAMPLES)]
        cell = group[0].cell
        hopeless_run = by_cell.get((cell.kind.name, cell.share))
        print(_line(group, hopeless_run), flush=True)


def _line(group: list[Result], hopeless_run: Result | None) -> str:
    cell = group[0].cell
    ratios = [f"{result.bill_over_cap:.2f}" for result in group]
    key = "seen" if any(result.is_key_shown for result in group) else ""
    ends = ""
    says = group[-1].says
    if hopeless_run is not None:
        prefix = ">" if hopeless_run.is_cut_off else ""
        ends = f"{prefix}{hopeless_run.seconds:.0f} s"
        says = "(nothing)" if hopeless_run.is_cut_off else hopeless_run.says
    mixed_up = sum(result.mixed_up for result in group)
    if mixed_up:
        says = f"{mixed_up} ANSWERS OF ANOTHER PROMPT; {says}"
    says = " ".join(says.split())[:SAYS_CHARS]
    return (
        f"{cell.kind.name:22} {cell.share:5.0%} {ratios[0]:>12} {ratios[1]:>6} "
        f"{sum(result.bought_twice for result in group):6} {sum(result.lost for result in group):6} {key:>4} "
        f"{ends:>10}  {says}"
    )


def run_cases(server: FaultServer, key: str) -> dict[str, float]:
    """Run the special cases, and print each one's figure."""
    figures = {}
    for case in CASES:
        figure = round(case.run(server, key), 3)
        figures[case.figure] = figure
        print(f"{case.about:48} {figure:5.2f}  (at most {case.at_most:g})", flush=True)
    return figures


def summary(results: list[Result], patience: list[Result], cases: dict[str, float]) -> dict[str, object]:
    """Return the figures of the last line."""
    every = results + patience
    return {
        "worst_bill_over_cap": round(max(result.bill_over_cap for result in every), 3),
        "bought_twice": sum(result.bought_twice for result in every),
        "lost": sum(result.lost for result in every),
        "slowest_stop_s": round(max((result.seconds for result in patience), default=0.0), 1),
        "mixed_up": sum(result.mixed_up for result in every),
        "key_found": any(result.is_key_shown for result in every),
        **cases,
    }


if __name__ == "__main__":
    main()

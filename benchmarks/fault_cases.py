"""The special cases of `engine_faults`: kills, two runs at once, changed prices, a short answer in five hundred."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from multiprocessing.process import BaseProcess
from typing import Any

from fault_asking import MAX_TOKENS, Asking, ask, make_prompts
from fault_call import Spec, count_tokens
from fault_cell import INPUT_PRICE, OUTPUT_PRICE
from fault_server import FaultServer

POLL_S = 0.02
LONGEST_S = 120.0
PRICE = {"input": INPUT_PRICE, "output": OUTPUT_PRICE}
SAMPLES = 8


def kills(server: FaultServer, key: str, count: int = 6) -> float:
    """Kill the asking process `count` times in a row with 64 calls in flight; return the final bill over the cap."""
    cap = 1.0
    in_flight = 64
    server.play(Spec(latency_s=0.5, samples=SAMPLES))
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        settings = _settings(budget_usd=cap, max_concurrency=in_flight)
        asking = Asking(server.base_url, key, f"{folder}/journal", "run", make_prompts(1000), SAMPLES, settings)
        for _ in range(count):
            billed = server.stats().billed_calls
            process = _start(asking)
            while process.is_alive() and server.stats().billed_calls < billed + in_flight:
                time.sleep(POLL_S)
            process.kill()
            process.join()
        _finish([_start(asking)])
    return server.stats().usd(INPUT_PRICE, OUTPUT_PRICE) / cap


def two_runs(server: FaultServer, key: str, delay_s: float = 0.0) -> float:
    """Let two runs ask the same with one journal, the second later; return the billed calls over the prompts."""
    server.play(Spec(latency_s=0.2))
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        settings = _settings(max_concurrency=32) | {"journal": f"{folder}/journal"}
        processes = []
        for run in ("first", "second"):
            asking = Asking(server.base_url, key, f"{folder}/journal", run, make_prompts(600), 1, settings)
            processes.append(_start(asking))
            time.sleep(delay_s)
        _finish(processes)
    stats = server.stats()
    return stats.billed_calls / len(stats.prompts)


def late_run(server: FaultServer, key: str) -> float:
    """Let a second run join in while the first is half done; return the billed calls over the prompts."""
    return two_runs(server, key, 2.0)


def price_given_later(server: FaultServer, key: str) -> float:
    """Buy without a price, then go on with one and a cap; return the bill over the cap."""
    return _changed_price(server, key, {}, PRICE)


def price_raised(server: FaultServer, key: str) -> float:
    """Go on at ten times the price with the same cap; return the bill over the cap, each run's at its own price."""
    return _changed_price(server, key, PRICE, {"input": 10 * INPUT_PRICE, "output": 10 * OUTPUT_PRICE})


def _changed_price(server: FaultServer, key: str, first: dict[str, float], second: dict[str, float]) -> float:
    """Buy the samples of 50 prompts at one price, and go on with 400 at another under a cap of three times those."""
    server.play(Spec(samples=SAMPLES))
    first_settings = _settings()
    if not first:
        del first_settings["price"]
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        place = f"{folder}/journal"
        prompts = make_prompts(400)
        asking = Asking(server.base_url, key, place, "run", prompts[:50], SAMPLES, first_settings)
        asyncio.run(ask(asking))
        # what was bought without a price is worth what it costs once the price is known
        first_price = first or second
        first_usd = server.stats().usd(first_price["input"], first_price["output"])
        server.reset()
        cap = 3 * first_usd
        settings = _settings(price=second, budget_usd=cap)
        asyncio.run(ask(asking._replace(prompts=prompts, teacher=settings)))
        second_usd = server.stats().usd(second["input"], second["output"])
    return (first_usd + second_usd) / cap


def short_answers(server: FaultServer, key: str) -> float:
    """Get too few choices once in five hundred calls with long prompts; return the bill over the ideal."""
    rows = 1000
    server.play(Spec("choices_fewer", share=0.002, latency_s=0.01, seed=5, samples=SAMPLES))
    prompts = ["exemplar " * 350 + prompt for prompt in make_prompts(rows)]
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        asking = Asking(server.base_url, key, f"{folder}/journal", "run", prompts, SAMPLES, _settings())
        asyncio.run(ask(asking))
    completion_usd = rows * SAMPLES * MAX_TOKENS * OUTPUT_PRICE / 1e6
    prompt_usd = sum(map(count_tokens, prompts)) * INPUT_PRICE / 1e6
    return server.stats().usd(INPUT_PRICE, OUTPUT_PRICE) / (prompt_usd + completion_usd)


def _settings(**changes: Any) -> dict[str, Any]:
    return {"price": PRICE, "timeout": 20, "backoff_s": 0.02, "max_concurrency": 64, **changes}


def _start(asking: Asking) -> BaseProcess:
    """Ask in a process of its own, forked from one that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openai", "raydistill.teacher.calls.caller", "fault_asking"])
    process = context.Process(target=_ask_alone, args=(asking,), daemon=True)
    process.start()
    return process


def _ask_alone(asking: Asking) -> None:
    asyncio.run(ask(asking))


def _finish(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.join(LONGEST_S)
        if process.exitcode != 0:
            process.kill()
            raise SystemExit(f"An asking process did not end well: exit code {process.exitcode}.")

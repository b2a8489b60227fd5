"""How fast each client calls one slow teacher: raydistill beside what a user would write or pick instead.

python benchmarks/teacher_throughput.py [--calls 6000] [--in-flight 256] [--latency 0.5] [--actors 2]

All contestants call the same loopback server (a process of its own on this machine) in turn: raydistill (journal,
governor and all), a plain `AsyncOpenAI` loop with a semaphore, the same on the aiohttp transport, a bare `aiohttp`
loop, a thread pool of the blocking client, and Ray's own `HttpRequestProcessor`. The server's log is the evidence: over
the steady part of a run, the fraction of the allowed calls in flight that was really there (`of ideal`), so that
start-up counts for nobody. CPU is that of the client's whole process tree over the same time, without the server's.

The last line is JSON: {"of_ideal", "vs_openai_default", "vs_openai_aiohttp", "vs_bare_aiohttp", "vs_ray_http",
"cpu_ms_per_call"} of raydistill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import openai
import psutil
import pyarrow as pa

from raydistill import simulated
from raydistill.config import Settings, SimulatedSettings
from raydistill.method import prompts
from raydistill.runtime import ray_connection
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.tables import PROMPTS
from raydistill.teacher import stage
from raydistill.teacher.open_endpoint import open_endpoint

TEXT = " There are 14 apples and 9 are eaten, so 14 - 9 = 5 are left. The basket then holds 5 apples."


class Measured(NamedTuple):
    """A contestant's figures over the steady part of its run."""

    per_s: float
    of_ideal: float
    cpu_ms: float
    wall_s: float


class CpuSample(NamedTuple):
    """CPU seconds used by a moment, in seconds since the start."""

    at: float
    cpu_s: float


Contestant = Callable[[simulated.Teacher, int], None]
"""Sends so many calls to a server."""


def main() -> None:
    """Let the contestants call the same server in turn."""
    args = _parse_arguments()
    ray_connection.connect()
    contestants = make_contestants(args)
    results: dict[str, Measured] = {}
    with simulated.serve(SimulatedSettings(latency_s=args.latency)) as server:
        print(
            f"{args.calls} calls, {args.in_flight} in flight, {args.latency} s latency, {args.actors} raydistill actors"
        )
        print(f"{'':16} {'calls/s':>8} {'of ideal':>9} {'CPU ms/call':>12} {'wall s':>7}")
        for name, contestant in contestants.items():
            if args.only and name not in args.only:
                continue
            result = measure(contestant, server, args)
            results[name] = result
            print(
                f"{name:16} {result.per_s:8.1f} {result.of_ideal:8.1%} {result.cpu_ms:12.2f} {result.wall_s:7.1f}",
                flush=True,
            )
    if len(results) == len(contestants):
        own = results["raydistill"]
        summary = {
            "of_ideal": round(own.of_ideal, 3),
            "vs_openai_default": round(own.per_s / results["openai default"].per_s, 2),
            "vs_openai_aiohttp": round(own.per_s / results["openai aiohttp"].per_s, 2),
            "vs_bare_aiohttp": round(own.per_s / results["bare aiohttp"].per_s, 2),
            "vs_ray_http": round(own.per_s / results["ray http"].per_s, 1),
            "cpu_ms_per_call": round(own.cpu_ms, 2),
        }
        print(json.dumps(summary))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="just these contestants")
    return parser.parse_args()


def make_contestants(args: argparse.Namespace) -> dict[str, Contestant]:
    """Return the contestants by name, with the limits that all of them have."""
    in_flight = args.in_flight

    def openai_default(server: simulated.Teacher, calls: int) -> None:
        asyncio.run(call_openai(server, calls, in_flight, None))

    def openai_aiohttp(server: simulated.Teacher, calls: int) -> None:
        asyncio.run(call_openai(server, calls, in_flight, openai.DefaultAioHttpClient()))

    def bare_aiohttp(server: simulated.Teacher, calls: int) -> None:
        asyncio.run(call_aiohttp(server, calls, in_flight))

    def ray_http(server: simulated.Teacher, calls: int) -> None:
        # One call at a time per batch: its rate is plain after few calls, and all of them would take an hour.
        call_ray_http(server, min(calls, 64))

    return {
        "raydistill": partial(call_raydistill, in_flight=in_flight, actors=args.actors),
        "openai default": openai_default,
        "openai aiohttp": openai_aiohttp,
        "bare aiohttp": bare_aiohttp,
        "thread pool": partial(call_threads, in_flight=in_flight),
        "ray http": ray_http,
    }


def measure(contestant: Contestant, server: simulated.Teacher, args: argparse.Namespace) -> Measured:
    """Run a contestant and read its rate off the server's log of arrivals."""
    server.reset()
    started = time.monotonic()
    server.script([{"text": TEXT}])
    done = threading.Event()
    samples: list[CpuSample] = []
    watcher = threading.Thread(target=watch_cpu, args=(started, samples, done))
    watcher.start()
    contestant(server, args.calls)
    wall_s = time.monotonic() - started
    done.set()
    watcher.join()
    arrivals = sorted(entry["at"] for entry in server.log() if "prompt" in entry)
    # Steady: from the first of the latest 2,000 arrivals (the log's length) plus one latency, to the last but 2 %.
    begin = arrivals[0] + args.latency
    end = arrivals[int(len(arrivals) * 0.98) - 1]
    busy_s = 0.0
    for arrival in arrivals:
        busy_s += max(0.0, min(arrival + args.latency, end) - max(arrival, begin))
    calls = busy_s / args.latency
    seconds = end - begin
    cpu_s = cpu_at(samples, end) - cpu_at(samples, begin)
    return Measured(calls / seconds, busy_s / seconds / args.in_flight, 1000 * cpu_s / calls, wall_s)


def watch_cpu(started: float, samples: list[CpuSample], done: threading.Event) -> None:
    """Sample the CPU seconds of this process and its descendants (without the server) a few times a second."""
    own_process = psutil.Process()
    latest: dict[int, float] = {}  # by process, so that one that has ended still counts
    while not done.wait(0.3):
        for process in [own_process, *own_process.children(recursive=True)]:
            try:
                with process.oneshot():
                    if simulated.__name__ not in process.cmdline():
                        times = process.cpu_times()
                        latest[process.pid] = times.user + times.system
            except psutil.Error:
                continue
        samples.append(CpuSample(time.monotonic() - started, sum(latest.values())))


def cpu_at(samples: list[CpuSample], at: float) -> float:
    """Interpolate the CPU seconds used by a moment."""
    earlier = [sample for sample in samples if sample.at <= at]
    later = [sample for sample in samples if sample.at > at]
    before = max(earlier, default=samples[0])
    after = min(later, default=samples[-1])
    if after.at == before.at:
        return before.cpu_s
    slope = (after.cpu_s - before.cpu_s) / (after.at - before.at)
    return before.cpu_s + slope * (at - before.at)


def question(i: int) -> str:
    """Return one of as many different questions as there are calls."""
    return f"A basket holds {i} apples and some are eaten. How many are left?"


def prompt(i: int) -> str:
    """Return the zero-shot prompt of a question."""
    return prompts.zero_shot(question(i))


def call_raydistill(server: simulated.Teacher, calls: int, *, in_flight: int, actors: int) -> None:
    """Run the zero-shot stage on calls / 2 questions: a rationale and an answer call for each."""
    with tempfile.TemporaryDirectory() as folder:
        teacher = {
            "kind": "api",
            "base_url": server.base_url,
            "model": server.model,
            "max_concurrency": in_flight,
            "num_actors": actors,
        }
        settings = Settings.model_validate({"run_dir": folder, "teacher": teacher})
        rows = [request_row(i) for i in range(calls // 2)]
        with open_endpoint(settings.teacher) as endpoint:
            table = pa.Table.from_pylist(rows, schema=PROMPTS)
            samples = stage.run("zero_shot", table, settings, endpoint, Store(folder), Progress())
        assert sum(samples["calls"].to_pylist()) == calls // 2 * 2


def request_row(i: int) -> dict[str, object]:
    """Return one row of the stage's input."""
    return {
        "task": "custom",
        "split": "train",
        "question_id": str(i),
        "source_row": i,
        "question": question(i),
        "answer": "5",
        "answer_type": "number",
        "choices": [],
        "method": "fine_tune_cot",
        "degree": 1,
        "prompt": prompt(i),
        "max_tokens": 128,
        "temperature": 0.0,
        "adaptive": False,
    }


async def call_openai(server: simulated.Teacher, calls: int, in_flight: int, http_client: Any) -> None:
    """Do what the documentation shows: one client, one semaphore, gather."""
    client = openai.AsyncOpenAI(base_url=server.base_url, api_key="none", http_client=http_client, max_retries=0)
    gate = asyncio.Semaphore(in_flight)

    async def complete(i: int) -> str:
        async with gate:
            response = await client.completions.create(
                model=server.model, prompt=prompt(i), max_tokens=128, temperature=0
            )
            return response.choices[0].text

    texts = await asyncio.gather(*(complete(i) for i in range(calls)))
    assert all(texts)
    await client.close()


async def call_aiohttp(server: simulated.Teacher, calls: int, in_flight: int) -> None:
    """Post the same bodies without any client of an API: the least that a call can cost in Python."""
    gate = asyncio.Semaphore(in_flight)
    url = f"{server.base_url}/completions"
    connector = aiohttp.TCPConnector(limit=in_flight)

    async with aiohttp.ClientSession(connector=connector) as session:

        async def complete(i: int) -> str:
            body = {"model": server.model, "prompt": prompt(i), "max_tokens": 128, "temperature": 0}
            async with gate, session.post(url, json=body) as response:
                content = await response.json()
                return content["choices"][0]["text"]

        texts = await asyncio.gather(*(complete(i) for i in range(calls)))
    assert all(texts)


def call_threads(server: simulated.Teacher, calls: int, *, in_flight: int) -> None:
    """Use the blocking client in a pool of as many threads as calls may be in flight."""
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:

        def complete(i: int) -> str:
            response = client.completions.create(model=server.model, prompt=prompt(i), max_tokens=128, temperature=0)
            return response.choices[0].text

        with ThreadPoolExecutor(in_flight) as pool:
            assert all(pool.map(complete, range(calls)))


def call_ray_http(server: simulated.Teacher, calls: int) -> None:
    """Use `ray.data.llm` on the same endpoint, with two actors and batches of 16."""
    import ray.data
    from ray.data import llm

    config = llm.HttpRequestProcessorConfig(url=f"{server.base_url}/completions", batch_size=16, concurrency=2)
    body = {"model": server.model, "max_tokens": 128, "temperature": 0}
    process = llm.build_processor(
        config,
        preprocess=lambda row: {"payload": body | {"prompt": prompt(row["id"])}},
        postprocess=lambda row: {"text": row["http_response"]["choices"][0]["text"]},
    )
    rows = process(ray.data.range(calls, override_num_blocks=4)).take_all()
    assert all(row["text"] for row in rows)


if __name__ == "__main__":
    main()

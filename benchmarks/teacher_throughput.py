"""How fast each client asks one slow teacher: raydistill beside what a user would write or pick instead.

python benchmarks/teacher_throughput.py [--calls 6000] [--in-flight 256] [--latency 0.5] [--actors 2]

All contestants ask the same loopback server (a process of its own on this machine) in turn: raydistill (journal,
governor and all), a plain `AsyncOpenAI` loop with a semaphore, the same on the aiohttp transport, a thread pool of the
blocking client, and Ray's own `HttpRequestProcessor`. The server's log is the judge: over the steady part of a run, the
share of the allowed calls in flight that was really there (`of ideal`), so that start-up counts for nobody. CPU is that
of the client's whole process tree over the same time, the server's left out.

The last line is JSON: {"of_ideal", "vs_openai_default", "vs_ray_http", "cpu_ms_per_call"} of raydistill.
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
from typing import Any, NamedTuple

import openai
import psutil
import pyarrow as pa

from raydistill import simulated
from raydistill.config import Settings, SimulatedSettings
from raydistill.runtime import cluster
from raydistill.runtime.progress import Progress
from raydistill.runtime.store import Store
from raydistill.tables import PROMPTS
from raydistill.teacher import stage
from raydistill.teacher.endpoint import open_endpoint

TEXT = " There are 14 apples and 9 are eaten, so 14 - 9 = 5 are left. The basket then holds 5 apples."


class Measured(NamedTuple):
    per_s: float
    of_ideal: float
    cpu_ms: float
    wall_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="just these contestants")
    args = parser.parse_args()
    cluster.connect()
    contestants: dict[str, Callable[[simulated.Teacher, int], None]] = {
        "raydistill": lambda server, n: ask_raydistill(server, n, args.in_flight, args.actors),
        "openai default": lambda server, n: asyncio.run(ask_openai(server, n, args.in_flight, None)),
        "openai aiohttp": lambda server, n: asyncio.run(
            ask_openai(server, n, args.in_flight, openai.DefaultAioHttpClient())
        ),
        "thread pool": lambda server, n: ask_threads(server, n, args.in_flight),
        # one call at a time per batch: its rate is plain after few calls, and all of them would take an hour
        "ray http": lambda server, n: ask_ray_http(server, min(n, 64)),
    }
    found: dict[str, Measured] = {}
    with simulated.serve(SimulatedSettings(latency_s=args.latency)) as server:
        print(
            f"{args.calls} calls, {args.in_flight} in flight, {args.latency} s latency, {args.actors} raydistill actors"
        )
        print(f"{'':16} {'calls/s':>8} {'of ideal':>9} {'CPU ms/call':>12} {'wall s':>7}")
        for name, contestant in contestants.items():
            if args.only and name not in args.only:
                continue
            found[name] = m = measure(contestant, server, args)
            print(f"{name:16} {m.per_s:8.1f} {m.of_ideal:8.1%} {m.cpu_ms:12.2f} {m.wall_s:7.1f}", flush=True)
    if len(found) == len(contestants):
        ours = found["raydistill"]
        result = {
            "of_ideal": round(ours.of_ideal, 3),
            "vs_openai_default": round(ours.per_s / found["openai default"].per_s, 2),
            "vs_ray_http": round(ours.per_s / found["ray http"].per_s, 1),
            "cpu_ms_per_call": round(ours.cpu_ms, 2),
        }
        print(json.dumps(result))


def measure(contestant: Callable[[simulated.Teacher, int], None], server: simulated.Teacher, args: Any) -> Measured:
    """Run a contestant and read its rate off the server's log of arrivals."""
    server.reset()
    begun = time.monotonic()
    server.script([{"text": TEXT}])
    done = threading.Event()
    samples: list[tuple[float, float]] = []
    watch = threading.Thread(target=watch_cpu, args=(begun, samples, done))
    watch.start()
    contestant(server, args.calls)
    wall = time.monotonic() - begun
    done.set()
    watch.join()
    arrivals = sorted(entry["at"] for entry in server.log() if "prompt" in entry)
    # Steady: from the first of the latest 2,000 arrivals (the log's length) plus one latency, to the last but 2 %.
    start, end = arrivals[0] + args.latency, arrivals[int(len(arrivals) * 0.98) - 1]
    busy = sum(max(0.0, min(at + args.latency, end) - max(at, start)) for at in arrivals)
    calls = busy / args.latency
    return Measured(
        calls / (end - start),
        busy / (end - start) / args.in_flight,
        1000 * (cpu_at(samples, end) - cpu_at(samples, start)) / calls,
        wall,
    )


def watch_cpu(begun: float, samples: list[tuple[float, float]], done: threading.Event) -> None:
    """CPU seconds of this process and its descendants (the server's not) since `begun`, a few times a second."""
    me = psutil.Process()
    last: dict[int, float] = {}  # by process, so that one that has ended still counts
    while not done.wait(0.3):
        for process in [me, *me.children(recursive=True)]:
            try:
                with process.oneshot():
                    if simulated.__name__ not in process.cmdline():
                        times = process.cpu_times()
                        last[process.pid] = times.user + times.system
            except psutil.Error:
                continue
        samples.append((time.monotonic() - begun, sum(last.values())))


def cpu_at(samples: list[tuple[float, float]], at: float) -> float:
    before = max((s for s in samples if s[0] <= at), default=samples[0])
    after = min((s for s in samples if s[0] > at), default=samples[-1])
    if after[0] == before[0]:
        return before[1]
    return before[1] + (after[1] - before[1]) * (at - before[0]) / (after[0] - before[0])


def prompt(i: int) -> str:
    return f"Q: A basket holds {i} apples and some are eaten. How many are left?\nA: Let's think step by step."


def ask_raydistill(server: simulated.Teacher, calls: int, in_flight: int, actors: int) -> None:
    """The zero-shot stage on calls / 2 questions: a rationale and an answer call for each."""
    with tempfile.TemporaryDirectory() as folder:
        teacher = {"kind": "api", "base_url": server.base_url, "model": server.model, "max_concurrency": in_flight}
        settings = Settings.model_validate({"run_dir": folder, "teacher": teacher | {"num_actors": actors}})
        row = {"task": "custom", "split": "train", "answer": "5", "answer_type": "number", "choices": []}
        row |= {"method": "fine_tune_cot", "degree": 1, "max_tokens": 128, "temperature": 0.0, "adaptive": False}
        rows = [
            row | {"question_id": str(i), "source_row": i, "question": prompt(i)[3:-31], "prompt": prompt(i)}
            for i in range(calls // 2)
        ]
        with open_endpoint(settings.teacher) as endpoint:
            table = pa.Table.from_pylist(rows, schema=PROMPTS)
            samples = stage.run("zero_shot", table, settings, endpoint, Store(folder), Progress())
        assert sum(samples["calls"].to_pylist()) == calls // 2 * 2


async def ask_openai(server: simulated.Teacher, calls: int, in_flight: int, http_client: Any) -> None:
    """What the documentation shows: one client, one semaphore, gather."""
    client = openai.AsyncOpenAI(base_url=server.base_url, api_key="none", http_client=http_client, max_retries=0)
    gate = asyncio.Semaphore(in_flight)

    async def one(i: int) -> str:
        async with gate:
            done = await client.completions.create(model=server.model, prompt=prompt(i), max_tokens=128, temperature=0)
            return done.choices[0].text

    texts = await asyncio.gather(*(one(i) for i in range(calls)))
    assert all(texts)
    await client.close()


def ask_threads(server: simulated.Teacher, calls: int, in_flight: int) -> None:
    """The blocking client in a pool of as many threads as calls may be in flight."""
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:

        def one(i: int) -> str:
            done = client.completions.create(model=server.model, prompt=prompt(i), max_tokens=128, temperature=0)
            return done.choices[0].text

        with ThreadPoolExecutor(in_flight) as pool:
            assert all(pool.map(one, range(calls)))


def ask_ray_http(server: simulated.Teacher, calls: int) -> None:
    """`ray.data.llm` on the same endpoint, with two actors and batches of 16."""
    import ray.data
    from ray.data import llm

    config = llm.HttpRequestProcessorConfig(url=f"{server.base_url}/completions", batch_size=16, concurrency=2)
    body = {"model": server.model, "max_tokens": 128, "temperature": 0}
    process = llm.build_processor(
        config,
        preprocess=lambda row: {"payload": body | {"prompt": prompt(row["id"])}},
        postprocess=lambda row: {"text": row["http_response"]["choices"][0]["text"]},
    )
    assert all(row["text"] for row in process(ray.data.range(calls, override_num_blocks=4)).take_all())


if __name__ == "__main__":
    main()

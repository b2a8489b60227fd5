"""Kill the teacher stage with SIGKILL again and again: is any paid answer lost, or bought twice?

python benchmarks/kill_loop.py [--kills 20] [--in-flight 32] [--latency 0.4]

A driver asks a loopback server about questions, half of them greedily and half with 4 samples, through two actors. At
random moments the driver, the node (every Ray process, and the driver on it), one actor that sends requests, or the
governor is killed; a dead driver's command is run again, on the same Ray if that lives. The server's own count of each
prompt is the evidence:

    bought_twice       requests for an answer that was in the journal at some kill already: must be 0
    in_flight_resent   other repeated requests: they were in flight at a kill
    tables_equal       the table is the one of an undisturbed run with a journal of its own

Key material must be nowhere in what was written. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from ray_node import RayNode, kill_process

from raydistill import simulated, tasks
from raydistill.config import Settings, SimulatedSettings
from raydistill.method import prompts
from raydistill.runtime import ray_connection
from raydistill.tables import PROMPTS
from raydistill.teacher import journal
from raydistill.teacher.journal.records import keys_of
from raydistill.teacher.journal.scan import scan

KEY = "sk-kill-loop-0123456789abcdef"
# Each as often as this in twenty kills.
TARGETS = ["driver"] * 3 + ["node"] + ["governor"] * 2 + ["actor"] * 14

BACK_TO_BACK = 0.25  # of the kills do not wait until the stage works again


class Snapshot(NamedTuple):
    """What stood at one kill."""

    durable: set[str]
    """SHA-256 of every prompt whose answers are in the journal."""
    requests: dict[str, int]
    """Requests so far per prompt."""


class Totals(NamedTuple):
    """The result over all rounds, as printed."""

    kills: int
    bought_twice: int
    in_flight_resent: int
    tables_equal: bool
    key_found: bool
    resent_per_kill: float
    in_flight_limit: int


def main() -> None:
    """Run the loop as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.4)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    totals = loop(args.kills, args.in_flight, args.latency, args.questions, args.seed)
    print(json.dumps(totals._asdict()))


def loop(kills: int, in_flight: int, latency: float, questions: int, seed: int) -> Totals:
    """Run the stage in rounds until there were so many kills; compare each round's table with an undisturbed one.

    Args:
        kills: number of kills over all rounds.
        in_flight: most requests in flight.
        latency: seconds that the server takes for an answer.
        questions: number of generated questions.
        seed: seed of the moments and the targets.
    """
    rng = random.Random(seed)
    ray = RayNode()
    targets: list[str] = []
    snapshots: list[Snapshot] = []
    twice = repeated = 0
    tables_equal = True
    simulated_settings = SimulatedSettings(latency_s=latency)
    with (
        tempfile.TemporaryDirectory(prefix="kill") as folder,
        simulated.serve(simulated_settings, api_key=KEY) as server,
    ):
        settings = make_settings(f"{folder}/undisturbed", server, in_flight, questions)
        finish(start(settings, ray.address), settings)
        expected = pq.read_table(f"{settings.run_dir}/samples.parquet")
        assert set(requests_per_prompt(server).values()) == {1}, "every prompt is requested once"
        round_number = 0
        while len(snapshots) < kills:
            round_number += 1
            server.reset()
            settings = make_settings(f"{folder}/round{round_number}", server, in_flight, questions)
            round_snapshots = disturb(settings, server, ray, rng, targets, kills - len(snapshots))
            requests = requests_per_prompt(server)
            round_twice = count_bought_twice(round_snapshots, requests)
            round_repeated = sum(count - 1 for count in requests.values())
            equal = expected.equals(pq.read_table(f"{settings.run_dir}/samples.parquet"))
            print(
                f"round {round_number}: {len(round_snapshots)} kills, {round_repeated} repeated, "
                f"{round_twice} bought twice, equal {equal}"
            )
            snapshots += round_snapshots
            twice += round_twice
            repeated += round_repeated
            tables_equal = tables_equal and equal
        key_found = contains_key(folder)
    ray.kill()
    resent = repeated - twice
    per_kill = round(resent / max(1, len(snapshots)), 1)
    return Totals(len(snapshots), twice, resent, tables_equal, key_found, per_kill, in_flight)


def make_settings(run_dir: str, server: simulated.Teacher, in_flight: int, questions: int) -> Settings:
    """Return the settings of one run of the stage."""
    teacher = {
        "kind": "api",
        "base_url": server.base_url,
        "model": server.model,
        "num_actors": 2,
        "seed": 1,
        "max_concurrency": in_flight,
        "api_key_env": "KILL_LOOP_KEY",
    }
    source = {"source": "generated", "generated_size": questions}
    return Settings.model_validate({"run_dir": run_dir, "questions": source, "teacher": teacher})


def drive(settings: Settings) -> None:
    """Run the command that is killed: the zero-shot stage, its table written beside the journal."""
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.teacher import stage
    from raydistill.teacher.open_endpoint import open_endpoint

    with open(f"{settings.run_dir}/output.log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ["KILL_LOOP_KEY"] = KEY
    with open_endpoint(settings.teacher) as endpoint:
        ray_connection.connect(**settings.ray.model_dump())
        store = Store(settings.run_path)
        samples = stage.run("zero_shot", requests_table(settings), settings, endpoint, store, Progress())
    pq.write_table(samples, f"{settings.run_path}/samples.parquet")


def requests_table(settings: Settings) -> pa.Table:
    """Return the stage's input: every prompt in one way only, greedily and with 4 samples in turn."""
    rows = []
    for index, question in enumerate(tasks.load_questions(settings.questions, settings.seed).to_pylist()):
        samples = 4 if index % 2 else 1
        request = {
            "method": "fine_tune_cot",
            "degree": samples,
            "prompt": prompts.zero_shot(question["question"]),
            "max_tokens": 128,
            "temperature": 0.7 if samples > 1 else 0.0,
            "adaptive": False,
        }
        rows.append(question | request)
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def start(settings: Settings, address: str) -> BaseProcess:
    """Fork the driver from a process that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ray.data", "raydistill.teacher.stage", "openai"])
    Path(settings.run_dir).mkdir(parents=True, exist_ok=True)
    ray_settings = settings.ray.model_copy(update={"address": address})
    driver = context.Process(target=drive, args=(settings.model_copy(update={"ray": ray_settings}),))
    driver.start()
    return driver


def finish(driver: BaseProcess, settings: Settings) -> None:
    """Wait for a driver's end; exits with the end of its output if it failed."""
    driver.join(600)
    if driver.exitcode != 0:
        raise SystemExit(Path(f"{settings.run_dir}/output.log").read_text()[-3000:])


def disturb(
    settings: Settings, server: simulated.Teacher, ray: RayNode, rng: random.Random, targets: list[str], kills: int
) -> list[Snapshot]:
    """Run the stage to its end with up to `kills` kills.

    Args:
        settings: the run.
        server: the teacher, which counts the requests.
        ray: the node that is killed and started again.
        rng: draws moments, targets and processes.
        targets: what is to be killed next, last first; filled up if it is empty.
        kills: most kills.

    Returns:
        For each kill what was durable by then, and the requests so far.
    """
    snapshots: list[Snapshot] = []
    driver = start(settings, ray.address)
    while driver.is_alive() and len(snapshots) < kills:
        if not snapshots or rng.random() >= BACK_TO_BACK:
            wait_until_working(server, driver)
        time.sleep(rng.uniform(0.0, 0.5))
        if not targets:
            targets += rng.sample(TARGETS, len(TARGETS))
            targets += rng.sample(sorted(set(TARGETS)), 4)  # taken first: few kills meet each kind too
        actors = ray.workers("MapWorker")
        victims = ray.workers("Governor") if targets[-1] == "governor" else actors
        if not driver.is_alive() or not victims:
            continue
        target = targets.pop()
        if target in ("actor", "governor"):
            snapshots.append(take_snapshot(settings, server))  # before: what is durable now is never to be sent again
            kill_process(rng.choice(victims))
            if target == "actor":
                continue
            driver.join(120)  # nothing may be sent unseen: the stage stops, and says so
            assert driver.exitcode, "the stage went on without a governor"
        else:
            kill_process(psutil.Process(driver.pid))
            if target == "node":
                ray.kill()
            driver.join()
            psutil.wait_procs(actors, timeout=60)
            snapshots.append(take_snapshot(settings, server))
            if target == "node":
                ray.start()
        driver = start(settings, ray.address)
    finish(driver, settings)
    return snapshots


def wait_until_working(server: simulated.Teacher, driver: BaseProcess) -> None:
    """Wait until the driver has sent some requests (again), or has ended."""
    requests = server.stats()["requests"]
    deadline = time.monotonic() + 120
    while driver.is_alive() and time.monotonic() < deadline:
        if server.stats()["requests"] >= requests + 20:
            return
        time.sleep(0.02)


def take_snapshot(settings: Settings, server: simulated.Teacher) -> Snapshot:
    """Return what is in the journal, and the requests so far."""
    durable: set[str] = set()
    folder = journal.Folder(f"{settings.run_dir}/journal")
    for entry in scan(folder):
        if keys_of(entry):
            prompt = entry["request"]["prompt"]
            durable.add(hashlib.sha256(prompt.encode()).hexdigest())
    return Snapshot(durable, requests_per_prompt(server))


def requests_per_prompt(server: simulated.Teacher) -> dict[str, int]:
    """Return the server's count of requests by SHA-256 of the prompt."""
    return {prompt: requests for prompt, (requests, _) in server.stats()["prompts"].items()}


def count_bought_twice(snapshots: list[Snapshot], final: dict[str, int]) -> int:
    """Count the requests for prompts whose answers were durable already."""
    repeated: dict[str, int] = {}
    for snapshot in snapshots:
        for prompt in snapshot.durable:
            later_requests = final[prompt] - snapshot.requests[prompt]
            repeated[prompt] = max(repeated.get(prompt, 0), later_requests)
    return sum(repeated.values())


def contains_key(folder: str) -> bool:
    """Whether any file holds key material."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return any(KEY.encode() in path.read_bytes() for path in files)


if __name__ == "__main__":
    main()

"""Kill the teacher stage with SIGKILL again and again: is any paid answer lost, or bought twice?

python benchmarks/kill_loop.py [--kills 20] [--in-flight 32] [--latency 0.4]

A driver asks a loopback server about questions, half of them greedily and half with 4 samples, through two actors. At
random moments the driver, the node (every Ray process, and the driver on it), one asking actor, or the governor is
killed; a dead driver's command is given again, on the same Ray where that lives. The server's own count of each prompt
is the judge:

    bought_twice       requests for an answer that was in the journal at some kill already: must be 0
    in_flight_resent   other repeated requests: they were in flight at a kill
    tables_equal       the table is the one of an undisturbed run with a journal of its own

Key material must be nowhere in what was written. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from raydistill import simulated, tasks
from raydistill.config import QuestionSettings, Settings, SimulatedSettings
from raydistill.method import prompts
from raydistill.runtime import cluster
from raydistill.tables import PROMPTS
from raydistill.teacher import journal
from raydistill.teacher.journal.scan import scan

KEY = "sk-kill-loop-0123456789abcdef"
TARGETS = (*["driver"] * 3, "node", *["governor"] * 2, *["actor"] * 14)  # each so often in twenty kills


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.4)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps(loop(args.kills, args.in_flight, args.latency, args.questions, args.seed)))


def loop(kills: int, in_flight: int, latency: float, questions: int, seed: int) -> dict[str, Any]:
    """Rounds of a whole stage until there were so many kills; each round's table is set beside an undisturbed one."""
    luck, ray = random.Random(seed), Ray()
    targets: list[str] = []
    total: dict[str, Any] = {"kills": 0, "bought_twice": 0, "in_flight_resent": 0, "tables_equal": True}
    with (
        tempfile.TemporaryDirectory(prefix="kill") as folder,
        simulated.serve(SimulatedSettings(latency_s=latency), api_key=KEY) as server,
    ):

        def settings(name: str) -> Settings:
            teacher = {"kind": "api", "base_url": server.base_url, "model": server.model, "num_actors": 2, "seed": 1}
            teacher |= {"max_concurrency": in_flight, "api_key_env": "KILL_LOOP_KEY"}
            asked = {"source": "generated", "generated_size": questions}
            return Settings.model_validate({"run_dir": f"{folder}/{name}", "questions": asked, "teacher": teacher})

        finish(start(settings("undisturbed"), ray.address), settings("undisturbed"))
        expected = pq.read_table(f"{folder}/undisturbed/samples.parquet")
        assert all(count == 1 for count, _ in server.stats()["prompts"].values()), "every prompt is asked once"
        round_ = 0
        while total["kills"] < kills:
            round_ += 1
            server.reset()
            config = settings(f"round{round_}")
            snapshots = disturbed(config, server, ray, luck, targets, kills - total["kills"])
            counts = {prompt: count for prompt, (count, _) in server.stats()["prompts"].items()}
            twice = bought_twice(snapshots, counts)
            extra = sum(count - 1 for count in counts.values())
            total["kills"] += len(snapshots)
            total["bought_twice"] += twice
            total["in_flight_resent"] += extra - twice
            equal = expected.equals(pq.read_table(f"{config.run_dir}/samples.parquet"))
            total["tables_equal"] = total["tables_equal"] and equal
            print(f"round {round_}: {len(snapshots)} kills, {extra} repeated, {twice} bought twice, equal {equal}")
        total["key_found"] = key_found(folder)
    ray.kill()
    total["resent_per_kill"] = round(total["in_flight_resent"] / max(1, total["kills"]), 1)
    total["in_flight_limit"] = in_flight
    return total


class Ray:
    """A Ray of one node beside this process, so that a killed driver finds it still there."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        from ray.cluster_utils import Cluster

        before = psutil.Process().children()
        node = {"num_cpus": 2, "include_dashboard": False}
        self.address: str = Cluster(initialize_head=True, head_node_args=node).address
        self.roots = [process for process in psutil.Process().children() if process not in before]

    def workers(self, wanted: str = "") -> list[psutil.Process]:
        """Worker processes whose name holds `wanted`."""
        found = [child for root in self.roots for child in _children(root)]
        return [process for process in found if "ray::" in (name := _name(process)) and wanted in name]

    def kill(self) -> None:
        processes = [child for root in self.roots for child in [root, *_children(root)]]
        for process in processes:
            _kill(process)
        psutil.wait_procs(processes, timeout=60)


def drive(settings: Settings) -> None:
    """The command that is killed: the zero-shot stage, its table written beside the journal."""
    from raydistill.runtime.progress import Progress
    from raydistill.runtime.store import Store
    from raydistill.teacher import stage
    from raydistill.teacher.endpoint import open_endpoint

    with open(f"{settings.run_dir}/output.log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ["KILL_LOOP_KEY"] = KEY
    asked = tasks.load_questions(QuestionSettings(**settings.questions.model_dump()), settings.seed).to_pylist()
    rows = [
        row
        | {"method": "fine_tune_cot", "degree": degree, "prompt": prompts.zero_shot(row["question"])}
        | {"max_tokens": 128, "temperature": 0.7 if degree > 1 else 0.0, "adaptive": False}
        for i, row in enumerate(asked)
        for degree in ((1, 4)[i % 2],)  # so that every prompt is asked in just one way
    ]
    with open_endpoint(settings.teacher) as endpoint:
        cluster.connect(**settings.ray.model_dump())
        table = pa.Table.from_pylist(rows, schema=PROMPTS)
        samples = stage.run("zero_shot", table, settings, endpoint, Store(settings.run_path), Progress())
    pq.write_table(samples, f"{settings.run_path}/samples.parquet")


def start(settings: Settings, address: str) -> BaseProcess:
    """The driver, forked from a process that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ray.data", "raydistill.teacher.stage", "openai"])
    Path(settings.run_dir).mkdir(parents=True, exist_ok=True)
    there = settings.model_copy(update={"ray": settings.ray.model_copy(update={"address": address})})
    driver = context.Process(target=drive, args=(there,))
    driver.start()
    return driver


def finish(driver: BaseProcess, settings: Settings) -> None:
    driver.join(600)
    if driver.exitcode != 0:
        raise SystemExit(Path(f"{settings.run_dir}/output.log").read_text()[-3000:])


def disturbed(
    settings: Settings, server: simulated.Teacher, ray: Ray, luck: random.Random, targets: list[str], kills: int
) -> list[tuple[set[str], dict[str, int]]]:
    """Run to the end with up to `kills` kills; for each what was durable by then, and the counts."""
    snapshots: list[tuple[set[str], dict[str, int]]] = []
    driver = start(settings, ray.address)
    while driver.is_alive() and len(snapshots) < kills:
        before = server.stats()["requests"]
        deadline = time.monotonic() + 120
        while server.stats()["requests"] < before + 20 and driver.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)  # it is working (again)
        time.sleep(luck.uniform(0.0, 0.5))
        if not targets:
            targets += luck.sample(TARGETS, len(TARGETS))
        asking = ray.workers("MapWorker")
        found = ray.workers("Governor") if targets[-1] == "governor" else asking
        if not driver.is_alive() or not found:
            continue
        target = targets.pop()
        if target in ("actor", "governor"):
            snapshots.append(snapshot(settings, server))  # before: what is durable now must never be asked again
            _kill(luck.choice(found))
            if target == "actor":
                continue
            driver.join(120)  # nothing may be sent unseen: the stage stops, and says so
            assert driver.exitcode, "the stage went on without a governor"
        else:
            _kill(psutil.Process(driver.pid))
            if target == "node":
                ray.kill()
            driver.join()
            psutil.wait_procs(asking, timeout=60)
            snapshots.append(snapshot(settings, server))
            if target == "node":
                ray.start()
        driver = start(settings, ray.address)
    finish(driver, settings)
    return snapshots


def snapshot(settings: Settings, server: simulated.Teacher) -> tuple[set[str], dict[str, int]]:
    """(SHA-256 of every prompt whose answers are in the journal, requests per prompt)."""
    durable: set[str] = set()
    for table in scan(journal.Folder(f"{settings.run_dir}/journal"), ["request"]):
        prompts_of = (json.loads(text)["prompt"] for text in table["request"].to_pylist() if text)
        durable |= {hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts_of}
    return durable, {prompt: count for prompt, (count, _) in server.stats()["prompts"].items()}


def bought_twice(snapshots: list[tuple[set[str], dict[str, int]]], final: dict[str, int]) -> int:
    """Requests for prompts whose answers were durable already."""
    repeated: dict[str, int] = {}
    for durable, counts in snapshots:
        for prompt in durable:
            repeated[prompt] = max(repeated.get(prompt, 0), final[prompt] - counts[prompt])
    return sum(repeated.values())


def key_found(folder: str) -> bool:
    return any(KEY.encode() in path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    main()

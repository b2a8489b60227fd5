"""Kill the teacher stage with SIGKILL again and again: is any paid answer lost, or bought twice?

python benchmarks/kill_loop.py [--kills 20] [--in-flight 32] [--latency 0.4]

A driver asks a loopback server about questions, half of them greedily and half with 4 samples, through two actors. At
random moments the driver, the driver with all of its Ray processes, one asking actor, or the governor is killed; a dead
driver's command is given again. The server's own count of each prompt is the judge:

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
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from raydistill import prompts, tasks
from raydistill.asks import ASKS
from raydistill.config import QuestionSettings, Settings, SimulatedSettings
from raydistill.teacher import compaction, journal, simulated

KEY = "sk-kill-loop-0123456789abcdef"
TARGETS = ("driver", "node", "governor", "actor", "actor", "actor")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.4)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.drive:
        drive(Settings.model_validate_json(args.drive))
        return
    print(json.dumps(loop(args.kills, args.in_flight, args.latency, args.questions, args.seed)))


def loop(kills: int, in_flight: int, latency: float, questions: int, seed: int) -> dict[str, Any]:
    """Rounds of a whole stage until there were so many kills; each round's table is set beside an undisturbed one."""
    luck = random.Random(seed)
    total: dict[str, Any] = {"kills": 0, "bought_twice": 0, "in_flight_resent": 0, "tables_equal": True}
    with (
        tempfile.TemporaryDirectory(prefix="kill") as folder,
        simulated.serve(SimulatedSettings(latency_s=latency), api_key=KEY) as server,
    ):

        def settings(name: str) -> Settings:
            teacher = {"kind": "api", "base_url": server.base_url, "model": server.model, "actors": 2, "seed": 1}
            teacher |= {"in_flight": in_flight, "api_key_env": "KILL_LOOP_KEY"}
            asked = {"source": "generated", "generated_size": questions}
            return Settings.model_validate({"run_dir": f"{folder}/{name}", "questions": asked, "teacher": teacher})

        run_to_end(settings("undisturbed"))
        expected = pq.read_table(f"{folder}/undisturbed/samples.parquet")
        assert all(count == 1 for count, _ in server.stats()["prompts"].values()), "every prompt is asked once"
        round_ = 0
        while total["kills"] < kills:
            round_ += 1
            server.reset()
            config = settings(f"round{round_}")
            snapshots = disturbed(config, server, luck, kills - total["kills"])
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
    total["resent_per_kill"] = round(total["in_flight_resent"] / max(1, total["kills"]), 1)
    total["in_flight_limit"] = in_flight
    return total


def drive(settings: Settings) -> None:
    """The command that is killed: the zero-shot stage, its table written beside the journal."""
    from raydistill import cluster
    from raydistill.progress import Progress
    from raydistill.store import Store
    from raydistill.teacher import stage
    from raydistill.teacher.endpoint import open_endpoint

    asked = tasks.load_questions(QuestionSettings(**settings.questions.model_dump()), settings.seed).to_pylist()
    rows = [
        row
        | {"method": "fine_tune_cot", "degree": degree, "prompt": prompts.zero_shot(row["question"])}
        | {"max_tokens": 128, "temperature": 0.7 if degree > 1 else 0.0, "adaptive": False}
        for i, row in enumerate(asked)
        for degree in ((1, 4)[i % 2],)  # so that every prompt is asked in just one way
    ]
    with open_endpoint(settings.teacher) as endpoint:
        cluster.connect(settings.ray)
        table = pa.Table.from_pylist(rows, schema=ASKS)
        samples = stage.ask("zero_shot", table, settings, endpoint, Store(settings.run_path), Progress())
    pq.write_table(samples, f"{settings.run_path}/samples.parquet")


def start(settings: Settings) -> subprocess.Popen[bytes]:
    Path(settings.run_dir).mkdir(parents=True, exist_ok=True)
    log = open(f"{settings.run_dir}/output.log", "ab")  # noqa: SIM115 (the child's)
    command = [sys.executable, __file__, "--drive", settings.model_dump_json()]
    return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "KILL_LOOP_KEY": KEY})


def run_to_end(settings: Settings) -> None:
    if start(settings).wait(600):
        raise SystemExit(Path(f"{settings.run_dir}/output.log").read_text()[-3000:])


def disturbed(
    settings: Settings, server: simulated.Teacher, luck: random.Random, kills: int
) -> list[tuple[set[str], dict[str, int]]]:
    """Run to the end with up to `kills` kills; for each what was durable by then, and the counts."""
    snapshots: list[tuple[set[str], dict[str, int]]] = []
    driver = start(settings)
    while driver.poll() is None and len(snapshots) < kills:
        before = server.stats()["requests"]
        deadline = time.monotonic() + 120
        while server.stats()["requests"] < before + 20 and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)  # it is working (again)
        time.sleep(luck.uniform(0.0, 1.5))
        if driver.poll() is not None:
            break
        target = luck.choice(TARGETS)
        tree = psutil.Process(driver.pid).children(recursive=True)
        if target in ("actor", "governor"):
            wanted = "MapWorker" if target == "actor" else "Governor"
            found = [p for p in tree if any(wanted in part for part in _cmdline(p))]
            if not found:
                continue
            snapshots.append(snapshot(settings, server))  # before: what is durable now must never be asked again
            _kill(luck.choice(found))
            if target == "actor":
                continue
            code = driver.wait(120)  # nothing may be sent unseen: the stage stops, and says so
            assert code != 0, "the stage went on without a governor"
        else:
            _kill(psutil.Process(driver.pid))
            for process in tree if target == "node" else []:
                _kill(process)
            driver.wait()
            psutil.wait_procs(tree, timeout=60)
            snapshots.append(snapshot(settings, server))
        driver = start(settings)
    if driver.wait(600):
        raise SystemExit(Path(f"{settings.run_dir}/output.log").read_text()[-3000:])
    return snapshots


def snapshot(settings: Settings, server: simulated.Teacher) -> tuple[set[str], dict[str, int]]:
    """(SHA-256 of every prompt whose answers are in the journal, requests per prompt)."""
    durable: set[str] = set()
    for table in compaction.scan(journal.Folder(f"{settings.run_dir}/journal"), ["request"]):
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


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    main()

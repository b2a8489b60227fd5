"""Put small faults into the paid-answer engine, one at a time: do the tests notice?

python benchmarks/mutation.py [--mutants 300] [--seed 0] [--only raydistill/teacher/limits/budget.py …]

A random sample of faults (`mutants.py`), stratified by module, in a copy of the tree. Each is met by the fast tests
that run its line (`mutation_tests.py`); none of them starts Ray. A fault that no test notices survives. Prints a line
for each survivor and a table by module; the last line is JSON.
"""

from __future__ import annotations

import argparse
import compileall
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

import mutation_tests
from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    "calls/*.py",
    "limits/*.py",
    "journal/*.py",
    "spending.py",
    "stage_limits.py",
    "ledger.py",
    "batch/affordable.py",
    "batch/results.py",
    "batch/take_in.py",
    "batch/pending_batches.py",
    "api/retries.py",
    "api/usage.py",
    "api/redaction.py",
    "api/error_classification.py",
    "api/refusals.py",
)
TEST_FILES = ("tests/test_teacher_*.py", "tests/test_journal_*.py")
FEWEST = 2  # mutants of a module
SHOWN = 150  # characters


class Options(NamedTuple):
    """What the command line says."""

    mutants: int
    seed: int
    seconds: float
    only: list[str]
    reach: Path | None
    jobs: int


def main() -> None:
    """Draw, run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests for each mutant, the fastest first")
    parser.add_argument("--only", nargs="*", default=[], help="modules, if not all")
    parser.add_argument("--reach", type=Path, help="keep what the tests reach in this file, or take it from there")
    parser.add_argument("--jobs", type=int, default=2)
    options = Options(**vars(parser.parse_args()))
    paths = options.only or _modules()
    sample = _sample(paths, options.mutants, options.seed)
    mutation_tests.load_libraries()
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        root = Path(scratch) / "tree"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*cache", "site"))
        compileall.compile_dir(root / "raydistill", quiet=2)
        reach = _reach(root, options.reach)
        sys.dont_write_bytecode = True
        survivors = _run(root, sample, reach, options)
    _print(sample, survivors)


def _modules() -> list[str]:
    """Return the modules that hold rules about money, durability, waiting and secrets."""
    paths = []
    for pattern in MODULES:
        for file in sorted((ROOT / "raydistill/teacher").glob(pattern)):
            paths.append(str(file.relative_to(ROOT)))
    return paths


def _sample(paths: Collection[str], size: int, seed: int) -> list[Mutant]:
    """Return about `size` mutants, in each module in proportion to its own, in the order of the files."""
    by_path = {path: mutants(path, (ROOT / path).read_bytes()) for path in paths}
    total = sum(map(len, by_path.values()))
    sample = []
    for path, candidates in by_path.items():
        share = max(FEWEST, round(size * len(candidates) / total))
        drawn = random.Random(f"{seed} {path}").sample(candidates, min(share, len(candidates)))
        sample += sorted(drawn, key=lambda mutant: mutant.start)
    print(f"{len(sample)} of {total} mutants of {len(by_path)} modules, seed {seed}", flush=True)
    return sample


def _reach(root: Path, file: Path | None) -> mutation_tests.Reach:
    """Return what the tests reach, from `file` if it is there."""
    if file is not None and file.is_file():
        tests, seconds = json.loads(file.read_text())
        by_file = {path: {int(line): ids for line, ids in lines.items()} for path, lines in tests.items()}
        return mutation_tests.Reach(by_file, seconds)
    test_files = [str(path.relative_to(ROOT)) for pattern in TEST_FILES for path in sorted(ROOT.glob(pattern))]
    start = time.monotonic()
    reach = mutation_tests.reach(root, _modules(), test_files)
    print(f"{len(reach.seconds)} tests pass in {time.monotonic() - start:.0f} s", flush=True)
    if file is not None:
        file.write_text(json.dumps(reach))
    return reach


def _run(root: Path, sample: Sequence[Mutant], reach: mutation_tests.Reach, options: Options) -> list[Mutant]:
    """Return the mutants that no test notices."""
    survivors = []
    roots: list[Path] = []
    for job in range(options.jobs):
        roots.append(root.with_name(f"job-{job}"))
        shutil.copytree(root, roots[-1])
    fork = multiprocessing.get_context("fork")
    free: SimpleQueue[Path] = fork.SimpleQueue()
    for path in roots:
        free.put(path)
    with ProcessPoolExecutor(options.jobs, fork, _Worker.begin, (free, reach, options.seconds)) as pool:
        for mutant, tests in zip(sample, pool.map(_Worker.survived, sample), strict=True):
            if tests is not None:
                survivors.append(mutant)
                shown = f"{mutant.before[:SHOWN]}  ->  {mutant.after[:SHOWN]}"
                print(f"survived {tests} tests: {mutant.path}:{mutant.line}  {shown}", flush=True)
    return survivors


class _Worker:
    """A process that runs mutants in a tree of its own."""

    root: Path
    reach: mutation_tests.Reach
    seconds: float

    @classmethod
    def begin(cls, free: SimpleQueue[Path], reach: mutation_tests.Reach, seconds: float) -> None:
        """Take one of the trees that are free."""
        cls.root = free.get()
        cls.reach = reach
        cls.seconds = seconds

    @classmethod
    def survived(cls, mutant: Mutant) -> int | None:
        """Return how many tests a mutant has survived; None if one of them noticed it."""
        tests = []
        left = cls.seconds
        for test in cls.reach.of(mutant):
            left -= cls.reach.seconds[test]
            if left > 0:
                tests.append(test)
        if tests and mutation_tests.is_noticed(cls.root, mutant, tests, cls.reach.seconds):
            return None
        return len(tests)


def _print(sample: Collection[Mutant], survivors: Collection[Mutant]) -> None:
    """Print the table and the last line."""
    drawn = Counter(mutant.path for mutant in sample)
    survived = Counter(mutant.path for mutant in survivors)
    print(f"\n{'module':52} {'mutants':>8} {'killed':>8} {'survived':>9}")
    for path, count in drawn.items():
        print(f"{path:52} {count:8} {count - survived[path]:8} {survived[path]:9}")
    killed = 1 - len(survivors) / max(1, len(sample))
    print(json.dumps({"killed": round(killed, 3), "mutants": len(sample), "survived": len(survivors)}))


if __name__ == "__main__":
    main()

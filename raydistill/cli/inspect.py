"""`raydistill inspect RUN_DIR`: what a run bought from its teacher, and what failed. Reads only."""

from __future__ import annotations

import argparse


def main(argv: list[str]) -> None:
    """Print the journal's contents, the ledger, failures by kind, and samples of prompts and answers."""
    parser = argparse.ArgumentParser(
        prog="raydistill inspect",
        description="Look into a run's teacher stages: journal, ledger, failures, samples. Safe while the run works.",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", help="run directory")
    parser.add_argument("--journal", help="journal folder or URI (default: the one in the run's settings)")
    parser.add_argument("--samples", type=int, default=2, help="prompts and answers to show per kind of call")
    parser.add_argument("--failures", type=int, default=5, help="failed rows to show")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of samples")
    parser.add_argument("--export", metavar="FILE.parquet", help="write the journal as a table instead, a row a sample")
    options = parser.parse_args(argv)
    from raydistill.teacher import inspect

    if options.export:
        print(inspect.export(options.run_dir, options.export, options.journal))
        return
    report = inspect.report(options.run_dir, options.journal, options.samples, options.failures, options.seed)
    print(report)

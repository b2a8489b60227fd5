"""`raydistill simulate`: serve the simulated teacher by hand."""

from __future__ import annotations

import sys


def main(argv: list[str]) -> None:
    """Serve until interrupted; `python -m raydistill.simulated` is the same."""
    from raydistill.simulated.__main__ import main as serve

    sys.argv = ["raydistill simulate", *argv]
    serve()

"""`raydistill run`: the whole of raydistill, from questions to the report."""

from __future__ import annotations

from raydistill.cli.arguments import SettingsParser


def main(argv: list[str]) -> None:
    """Run every stage that is not finished; with `--estimate`, print the costs instead."""
    parser = SettingsParser("raydistill run", "Distil a teacher's step-by-step reasoning into small students.")
    parser.add_option(
        "--estimate", action="store_true", help="print what the teacher's stages would cost, and exit without a call"
    )
    settings, options = parser.parse(argv)
    from raydistill import pipeline  # after parsing: --help and a typo need no Ray

    if options.estimate:
        pipeline.estimate(settings)
    else:
        pipeline.run(settings)

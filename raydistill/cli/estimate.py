"""`raydistill estimate`: what the teacher's stages of a run would cost, without a call."""

from __future__ import annotations

from raydistill.cli.arguments import SettingsParser


def main(argv: list[str]) -> None:
    """Print calls, tokens, dollars and minutes."""
    parser = SettingsParser("raydistill estimate", "Print what the teacher's stages would cost, without a call.")
    settings, _ = parser.parse(argv)
    from raydistill import pipeline

    pipeline.estimate(settings)

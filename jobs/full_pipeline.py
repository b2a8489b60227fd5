"""The whole of raydistill: questions → teacher → exemplars → teacher → curation → students → report.

python jobs/full_pipeline.py                              # the embedded default: no key, no GPU
python jobs/full_pipeline.py my.yaml --teacher.model M    # your settings
python jobs/full_pipeline.py my.yaml --estimate           # calls, tokens, dollars and minutes; asks nothing
ray job submit --working-dir . -- python jobs/full_pipeline.py my.yaml
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill import cli


def main(argv: list[str]) -> None:
    settings, on = cli.parse(
        argv,
        "Distil a teacher's step-by-step reasoning into small students.",
        {"estimate": "print what the teacher's stages would cost, and exit without a call"},
    )
    from raydistill import pipeline  # after parsing: --help and a typo need no Ray

    if "estimate" in on:
        pipeline.estimate(settings)
    else:
        pipeline.run(settings)


if __name__ == "__main__":
    cli.run(main)

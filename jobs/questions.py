"""The command `raydistill questions`, as a script: what there is, and whether it is the published data.

python jobs/questions.py                              # the eight benchmarks: counts, splits, leakage, hazards
python jobs/questions.py --task coin_flip             # one of them, with examples
python jobs/questions.py my.yaml --examples 2         # the questions of a run's settings (your own file, say)
python jobs/questions.py --check                      # compare with the published hashes, counts and splits
python jobs/questions.py --export data/questions      # one Parquet file per task
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill.cli.main import main

if __name__ == "__main__":
    main(["questions", *sys.argv[1:]])

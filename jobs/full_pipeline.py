"""The command `raydistill run`, as a script: the whole of raydistill, from questions to the report.

python jobs/full_pipeline.py                              # the embedded default: no key, no GPU
python jobs/full_pipeline.py my.yaml --teacher.model M    # your settings
python jobs/full_pipeline.py my.yaml --estimate           # calls, tokens, dollars and minutes; sends no request
ray job submit --working-dir . -- python jobs/full_pipeline.py my.yaml
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill.cli.main import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])

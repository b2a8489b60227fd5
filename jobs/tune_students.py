"""The command `raydistill tune`, as a script: search hyper-parameters for the students of a finished run.

python jobs/tune_students.py my.yaml                               # after jobs/full_pipeline.py on the same settings
python jobs/tune_students.py my.yaml --search.algorithm random --search.num_samples 20
python jobs/tune_students.py my.yaml --search.learning_rates '[1e-4, 3e-4]'
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill.cli.main import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])

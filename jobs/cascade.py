"""The command `raydistill cascade`, as a script: how many questions must go to the teacher for how much accuracy.

python jobs/cascade.py my.yaml                         # after full_pipeline.py with students.validation_fraction
python jobs/cascade.py my.yaml --cascade.accuracy 0.95 # as few teacher calls as reach 95 %
python jobs/cascade.py my.yaml --cascade.votes 8       # also by the agreement of 8 sampled answers
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone as from an installed package

from raydistill.cli.main import main

if __name__ == "__main__":
    main(["cascade", *sys.argv[1:]])

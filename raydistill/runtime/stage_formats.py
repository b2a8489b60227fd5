"""Version of what each stage writes; part of the stage's fingerprint in place of raydistill's own version.

Raise a stage's number if, for the same inputs and settings, its code makes other rows than before: a changed prompt or
extraction rule, another choice of exemplars, a new or renamed column. Finished runs then make that table anew, and the
stages after it if its rows differ. Leave it if only speed, cost, messages or names in the code changed: a release must
not buy answers or train students again for nothing.
"""

from __future__ import annotations

STAGE_FORMATS = {
    "questions": 1,
    "zero_shot": 1,
    "exemplars": 1,
    "few_shot": 1,
    "judgements": 1,
    "ledger": 1,
    "training": 1,
    "students": 1,
    "predictions": 1,
    "results": 1,
    "cascade": 1,
}

"""Do the steps of a rationale hold? An answer filter cannot see bad reasoning; this reads the steps themselves.

Equations are worked out; coin flips, last letters and swaps are replayed from the question and compared with what the
rationale says on the way; and a rationale must not lead to another answer than its own. Only what is plainly said and
plainly wrong counts: wordings that are not understood pass.
"""

from raydistill.method.steps.checks import check
from raydistill.method.steps.fault import StepFault

__all__ = ["StepFault", "check"]

"""Find the equations that a text spells out ("5 apples + 3 apples = 8 apples") and work each one out.

Nothing is evaluated but what this parser reads, in exact fractions. What it does not fully understand (variables,
"20% of", dates, mixed units) is left unchecked: a right step must not be called wrong.
"""

from raydistill.method.equations.finder import Equation, equations
from raydistill.method.equations.tokens import numbers

__all__ = ["Equation", "equations", "numbers"]

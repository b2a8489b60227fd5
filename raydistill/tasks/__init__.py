"""Questions: the eight benchmarks of the paper, generated ones of any size, and the user's own."""

from raydistill.tasks.load import FELL_BACK, load_questions
from raydistill.tasks.overlap import leakage

__all__ = ["FELL_BACK", "leakage", "load_questions"]

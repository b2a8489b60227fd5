"""Questions: the eight benchmarks of the paper, generated ones of any size, and the user's own."""

from raydistill.tasks.overlap import leakage
from raydistill.tasks.question_table import FELL_BACK, load_questions

__all__ = ["FELL_BACK", "leakage", "load_questions"]

"""Extraction and comparison of answers, by robust or by the published rules; answers that a rationale already holds."""

from raydistill.method.answer_readers.numbers import TOLERANCE
from raydistill.method.answers.extraction import ExtractionRules, canonical, extract, is_correct, student_answer
from raydistill.method.answers.rationales import AnswerInRationale, clean_rationale, find_in_rationale

__all__ = [
    "TOLERANCE",
    "AnswerInRationale",
    "ExtractionRules",
    "canonical",
    "clean_rationale",
    "extract",
    "find_in_rationale",
    "is_correct",
    "student_answer",
]

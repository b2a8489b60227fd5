"""The types of answers."""

from __future__ import annotations

from typing import Literal

AnswerType = Literal["number", "letter", "yes_no", "letters", "text"]

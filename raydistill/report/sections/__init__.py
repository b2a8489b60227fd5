"""The sections of the page in their order. A further one is a module, a template of its name and an entry here."""

from __future__ import annotations

from raydistill.report.sections import (
    cascade,
    curation,
    examples,
    exemplars,
    extraction_rules,
    overlap,
    paper,
    reproduce,
    spend,
    students,
    teacher,
    training,
)
from raydistill.report.sections.content import Section

SECTIONS = (
    Section("students", "Students", students.build),
    Section("cascade", "Student and teacher together", cascade.build, "Student and teacher"),
    Section("teacher", "Teacher", teacher.build),
    Section("curation", "What became of the answers", curation.build, "Curation"),
    Section("exemplars", "Exemplars", exemplars.build),
    Section("training", "Training", training.build),
    Section("spend", "Spend", spend.build),
    Section("examples", "Examples", examples.build),
    Section("extraction_rules", "Extraction rules compared", extraction_rules.build),
    Section("overlap", "Train/test overlap", overlap.build),
    Section("paper", "Beside the paper", paper.build),
    Section("reproduce", "How to reproduce", reproduce.build),
)

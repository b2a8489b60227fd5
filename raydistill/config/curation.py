"""Settings of curation: which rationales become training text."""

from __future__ import annotations

from pydantic import Field

from raydistill.config.base import Section


class CurationSettings(Section):
    """Which of the teacher's rationales become training texts."""

    clean: bool = True
    """Remove invented next questions and closing answer sentences from rationales. Ho et al. 2023 keep the raw text."""
    check_steps: bool = False
    """Drop rationales with a wrong step: equations, coin flips, letters and swaps are recomputed."""
    drop_duplicates: bool = False
    """Drop repeated rationales of the same question."""
    keep_most_different: int | None = Field(None, ge=1)
    """Keep at most this many rationales per question: those that differ most from each other."""
    llm_judge: bool = False
    """Let the teacher judge each rationale that would be kept (one short call each), and drop those that it calls
    wrong."""
    llm_judge_strict: bool = False
    """Also drop rationales without a clear verdict: unclear replies, failed calls, and what the budget left
    unjudged."""
    llm_judge_budget_usd: float | None = Field(None, gt=0)
    """Spend at most this many USD on judgements, within teacher.budget_usd. When either budget is used up the run
    continues and the rest stays unjudged; run again with a larger budget to judge the rest."""
    llm_judge_budget_tokens: int | None = Field(None, gt=0)
    """Use at most this many tokens for judgements, within teacher.budget_tokens; see llm_judge_budget_usd."""

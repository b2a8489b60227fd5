"""Settings that had another name before version 0.2: whoever uses the old one is told the new one."""

from __future__ import annotations

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
    "max_usd": "budget_usd",
    "max_tokens": "budget_tokens",
}
"""Old to new, as dotted names; the last two are shorthands of the command line."""

RENAMED_VALUES = {
    ("students.methods", "clustered"): "few_shot_unfiltered",
    ("teacher.extraction", "baseline"): "published",
}
"""Old to new values, by setting."""

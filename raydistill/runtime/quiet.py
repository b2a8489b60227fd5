"""Keep Ray and other libraries from printing over our own progress lines.

Importing this module sets the environment that they read when they are imported, so import it before them.
"""

from __future__ import annotations

import logging
import os

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry, no prompt
    "RAY_AUTH_MODE": "disabled",  # if it is unset, a local ray.init() writes a token that later commands trip over
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray Data prints a C++ ERROR for every actor pool (ray#53727)
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_worker_niceness": "0",  # 15 by default: other work on the machine then slows a run two- to fourfold
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller's poll; the default of 2 s delays every report
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""What Ray and other libraries read when they are imported or started; a value that is already set stays."""

for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

NOISY_LOGGERS = ("ray.data", "ray.train", "ray.tune", "ray._private", "httpx", "httpx2", "sentence_transformers")


def silence_loggers() -> None:
    """Keep Ray and other libraries of this process from printing over our own progress lines."""
    import ray.data

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False  # rows carry ids, so order costs time for nothing
    context.execution_no_progress_timeout_s = -1  # a long pause for a rate limit is not a hang

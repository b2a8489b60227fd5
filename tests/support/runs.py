"""Small runs of the whole pipeline for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raydistill.config import Settings
from raydistill.runtime.store import Store


def tiny(run_dir: Path, student: Path, **sections: Any) -> Settings:
    """24 train and 8 test questions, one short pass of a tiny student, in this process."""
    tree: dict[str, Any] = {
        "run_dir": str(run_dir),
        "local": True,
        "questions": {"tasks": ["coin_flip"], "source": "generated", "generated_size": 80, "limit_train": 24}
        | {"limit_test": 8, "unseen_patterns": 2},
        "teacher": {"kind": "simulated"},
        "exemplars": {"n_clusters": 3},
        "students": {"models": [str(student)], "max_steps": 3, "max_new_tokens": 16, "learning_rate": 1e-3},
    }
    for name, values in sections.items():
        tree[name] = tree.get(name, {}) | values if isinstance(values, dict) else values
    return Settings.model_validate(tree)


def finished(store: Store) -> dict[str, str]:
    """When each table was finished, and the hash of what is in it."""
    return {
        path.stem: json.loads(path.read_text())["finished"] + json.loads(path.read_text())["content"]
        for path in Path(store.root, "tables").glob("*.json")
    }

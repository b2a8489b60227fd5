"""Where downloads, conversions and embeddings are kept for all runs of a user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def folder(name: str) -> Path:
    """Folder `name` of the cache: below $RAYDISTILL_CACHE_DIR, else below the platform's user cache. Not created."""
    root = os.environ.get("RAYDISTILL_CACHE_DIR") or platformdirs.user_cache_dir("raydistill", appauthor=False)
    return Path(root).expanduser().resolve() / name

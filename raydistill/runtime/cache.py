"""The cache that all runs of a user share: downloads, converted weights, embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def folder(name: str) -> Path:
    """Return folder `name` of the cache, in $RAYDISTILL_CACHE_DIR or else in the platform's user cache.

    The folder is not created.
    """
    root = os.environ.get("RAYDISTILL_CACHE_DIR") or platformdirs.user_cache_dir("raydistill", appauthor=False)
    return Path(root).expanduser().resolve() / name

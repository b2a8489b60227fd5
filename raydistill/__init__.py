"""raydistill: distil the step-by-step reasoning of a large teacher model into small students, end to end, on Ray.

In Python: `raydistill.run(raydistill.Settings(...))`. On the command line: `raydistill run`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydistill.config import Settings
    from raydistill.pipeline import estimate, run
    from raydistill.runtime.store import Store

__version__ = "0.2.0"
__all__ = ["Settings", "Store", "__version__", "estimate", "run"]

_EXPORTS = {
    "Settings": "raydistill.config",
    "Store": "raydistill.runtime.store",
    "estimate": "raydistill.pipeline",
    "run": "raydistill.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import an export when it is first used (PEP 562): `import raydistill` alone loads neither Ray nor pyarrow."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

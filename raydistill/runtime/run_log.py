"""The log file of a run: what raydistill's loggers say, and every line of progress, in `run.log` of the run directory.

Loggers of this process only: Ray keeps what its workers log in its own session folder. Keys are never logged; requests
and responses are not either.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raydistill.runtime.errors import UserError
from raydistill.runtime.store import Store

LOG_FILE = "run.log"
PACKAGE_LOGGER = "raydistill"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def attach(store: Store) -> Iterator[None]:
    """Write the package's log messages (INFO and above) to `run.log` of the run directory for the length of the block.

    A local file is appended to as messages come. Object stores cannot append: there the file is written when the block
    ends, after what it held before. Warnings go to stderr as well, as they do without a log file. A log that cannot be
    written never ends a run.
    """
    logger = logging.getLogger(PACKAGE_LOGGER)
    buffer = io.StringIO()
    if store.is_local:
        file_handler: logging.Handler = _LogFile(f"{store.root}/{LOG_FILE}", encoding="utf-8", delay=True)
    else:
        file_handler = logging.StreamHandler(buffer)
    file_handler.setFormatter(_formatter())
    stderr_handler = logging.StreamHandler(sys.stderr)
    stderr_handler.setLevel(logging.WARNING)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(file_handler)
    logger.addHandler(stderr_handler)
    try:
        yield
    except BaseException as error:
        logger.info("ended with %s: %s", type(error).__name__, error)  # the command says it on stderr
        raise
    finally:
        logger.removeHandler(file_handler)
        logger.removeHandler(stderr_handler)
        logger.setLevel(level)
        file_handler.close()
        if not store.is_local:
            _append(store, buffer.getvalue())


class _LogFile(logging.FileHandler):
    """A log file that storage may reject (a full disk, a folder in its place) without ending the run."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: there is no other place to say it in."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _formatter() -> logging.Formatter:
    """Return a formatter with UTC times: nodes of a cluster may be in other time zones."""
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


def _append(store: Store, text: str) -> None:
    with suppress(UserError, OSError):
        earlier = store.read_text(LOG_FILE) or ""
        store.write_text(LOG_FILE, earlier + text)

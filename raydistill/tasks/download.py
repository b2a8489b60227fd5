"""The published files: a local copy, the cache, or a download by pooch; always hash-checked.

RAYDISTILL_DATA_DIR names a folder with local copies, RAYDISTILL_DATA_URL a mirror with the same layout.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.runtime import cache
from raydistill.runtime.errors import QuestionsError
from raydistill.runtime.files import file_hash
from raydistill.runtime.formatting import first_line

if TYPE_CHECKING:
    import requests

ATTEMPTS = 4
"""Downloads that are tried of a file; pooch waits 1, 2, 3 … seconds between them."""
TIMEOUT_S = 15
RETRIED_STATUS = (408, 429)
"""Statuses below 500 after which another attempt may succeed."""

log = logging.getLogger(__name__)


class Unavailable(QuestionsError):
    """The file is neither at hand nor can it be downloaded now."""


def published(name: str, url: str, sha256: str) -> Path:
    """Return the path of the published file `name` ("AddSub/AddSub.json"), downloaded from `url` once if need be.

    Raises:
        QuestionsError: a local copy differs from the published file.
        Unavailable: there is no copy, and the download fails.
    """
    local = _local_copy(name)
    if local is None:
        return _cached_or_downloaded(name, _mirrored(name, url), sha256)
    actual = file_hash(local)
    if actual != sha256:
        raise QuestionsError(
            f"{local} is not the published file: its SHA-256 is {actual}, expected {sha256}.",
            f"Replace it by {url} or unset RAYDISTILL_DATA_DIR.",
        )
    return local


def _local_copy(name: str) -> Path | None:
    """Return the user's copy of a file, if there is one."""
    folder = os.environ.get("RAYDISTILL_DATA_DIR")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise QuestionsError(f"RAYDISTILL_DATA_DIR is {folder}, which is no folder.", "Correct or unset it.")
    local = Path(folder) / name
    return local if local.is_file() else None


def _mirrored(name: str, url: str) -> str:
    """Return where to download a file from: the user's mirror, or `url`."""
    mirror = os.environ.get("RAYDISTILL_DATA_URL")
    if not mirror:
        return url
    if not mirror.startswith(("http://", "https://")):
        raise QuestionsError(f"RAYDISTILL_DATA_URL is {mirror}, which is no http(s) address.")
    return f"{mirror.rstrip('/')}/{name}"


def _cached_or_downloaded(name: str, url: str, sha256: str) -> Path:
    import pooch
    import requests
    from filelock import FileLock

    pooch.get_logger().setLevel(logging.WARNING)  # it prints every download
    path = cache.folder("questions") / name
    if path.is_file() and file_hash(path) == sha256:
        return path  # without the lock: a shared cache may be read-only
    files = pooch.create(
        path=cache.folder("questions"),
        base_url="",
        registry={name: sha256},
        urls={name: url},
        retry_if_failed=ATTEMPTS - 1,
    )
    try:
        if not path.is_file():
            log.info("%s is downloaded from %s", name, _without_login(url))
            path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # another process may want it too
            return Path(files.fetch(name, downloader=_download))
    # ValueError is pooch's for another hash. RequestException is an OSError too: it comes first.
    except (requests.RequestException, ValueError) as error:
        raise _unavailable(name, url, first_line(error)) from None
    except _Permanent as error:
        raise _unavailable(name, url, error.reason) from None
    except OSError as error:
        raise Unavailable(f"Cannot write to the cache {path.parent}: {error}.") from None


class _Permanent(Exception):
    """A download that failed in a way that another attempt will not change."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _download(url: str, output_file: str, caller: Any) -> None:
    """Download to `output_file`, as pooch's own downloader does, but fail at once if it is in vain to try again."""
    import pooch
    import requests

    download = pooch.HTTPDownloader(timeout=TIMEOUT_S, chunk_size=1 << 16)
    try:
        download(url, output_file, caller)
    except requests.HTTPError as error:
        response = error.response
        if response is not None and response.status_code < 500 and response.status_code not in RETRIED_STATUS:
            raise _Permanent(f"the server answers {response.status_code} {response.reason}") from None
        raise
    except requests.ConnectionError as error:
        reason = _why_unreachable(error)
        if reason:  # no network: say so at once
            raise _Permanent(reason) from None
        raise


def _why_unreachable(error: requests.ConnectionError) -> str:
    """Return why no connection was made (an unknown host, or nobody listens there); "" if one broke."""
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    failure = error.args[0] if error.args else None
    if not isinstance(failure, MaxRetryError) or not isinstance(failure.reason, NewConnectionError):
        return ""
    return str(failure.reason.__cause__ or failure.reason)


def _without_login(url: str) -> str:
    """Return an address without a user name and password: a mirror's may hold a token."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)


def _unavailable(name: str, url: str, reason: str) -> Unavailable:
    return Unavailable(
        f"Cannot download {_without_login(url)}: {reason.replace(url, _without_login(url)).rstrip('.')}.",
        f"Check the network, or set RAYDISTILL_DATA_DIR to a folder that has the file as {name}.",
    )

"""The published files: a local copy, the cache, or a download that survives a broken line; always hash-checked.

RAYDISTILL_DATA_DIR names a folder with local copies, RAYDISTILL_DATA_URL a mirror with the same layout.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from raydistill.runtime import cache
from raydistill.runtime.errors import QuestionsError

ATTEMPTS = 4
WAIT_S = 0.5
TIMEOUT_S = 15
LARGEST_FILE = 50_000_000


class Unavailable(QuestionsError):
    """The file is neither at hand nor can it be downloaded now."""


def published(name: str, url: str, sha256: str) -> Path:
    """Path of the published file `name` ("AddSub/AddSub.json"), downloaded from `url` once if need be.

    Raises:
        QuestionsError: a local copy differs from the published file.
        Unavailable: no copy, and the download fails.
    """
    if folder := os.environ.get("RAYDISTILL_DATA_DIR"):
        if not Path(folder).is_dir():
            raise QuestionsError(f"RAYDISTILL_DATA_DIR is {folder}, which is no folder.", "Correct or unset it.")
        local = Path(folder) / name
        if local.is_file():
            if (found := _sha256(local)) != sha256:
                raise QuestionsError(
                    f"{local} is not the published file: its SHA-256 is {found}, expected {sha256}.",
                    f"Replace it by {url} or unset RAYDISTILL_DATA_DIR.",
                )
            return local
    cached = cache.folder("questions") / name
    if cached.is_file() and _sha256(cached) == sha256:
        return cached
    if mirror := os.environ.get("RAYDISTILL_DATA_URL"):
        if not mirror.startswith(("http://", "https://")):
            raise QuestionsError(f"RAYDISTILL_DATA_URL is {mirror}, which is no http(s) address.")
        url = f"{mirror.rstrip('/')}/{name}"
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{cached}.lock")
        lock.acquire()
    except OSError as error:
        raise Unavailable(f"Cannot write to the cache {cached.parent}: {error}.") from None
    with lock:
        if not (cached.is_file() and _sha256(cached) == sha256):  # another process may have been faster
            _download(name, url, cached, sha256)
    return cached


def _download(name: str, url: str, target: Path, sha256: str) -> None:
    """Fetch `url` into `target`, going on where an earlier attempt (or run) broke off; the last step is a rename."""
    part = target.with_name(target.name + ".part")
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(WAIT_S * 2 ** (attempt - 1))
        try:
            _receive(url, part)
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # what is there already is no beginning of the file
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                break
        except urllib.error.URLError as error:
            problem = str(error.reason)
            if isinstance(error.reason, socket.gaierror | ConnectionRefusedError):  # no network: say so at once
                break
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        else:
            if (found := _sha256(part)) == sha256:
                os.replace(part, target)
                return
            part.unlink()  # a stale beginning, or not the file: start over
            problem = f"what it sends has the SHA-256 {found}, expected {sha256}"
    raise Unavailable(
        f"Cannot download {url}: {problem}.",
        f"Check the network, or set RAYDISTILL_DATA_DIR to a folder that has the file as {name}.",
    )


def _receive(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not resumed:
            part.unlink(missing_ok=True)  # the next attempt asks for the whole
            raise http.client.HTTPException("the server sends another part than the one asked for")
        size = have if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read1(1 << 16):
                size += len(block)
                if size > LARGEST_FILE:
                    raise http.client.HTTPException(f"it sends more than {LARGEST_FILE:,} bytes")
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        # `read1` ends quietly on a broken connection.
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
